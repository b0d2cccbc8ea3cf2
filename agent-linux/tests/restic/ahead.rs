//! A download's dump is started beside the look at what it is about.

use crate::rig::{Rig, until, with_each_version};
use agent_linux::restic::JobSummary;
use schema::{Class, JobSpec, OsText};
use std::{fs, path::Path};

#[tokio::test]
async fn the_dump_of_a_download_begins_beside_the_look_and_ends_with_it_when_there_is_nothing_to_give() {
    with_each_version(async |_, restic| {
        let mut rig = Rig::initialised(restic).await;
        let source = rig.source();
        let backup = rig.backup(&[&source]).await.succeeded();
        let JobSummary::Backup(done) = backup.end.summary else { panic!("{backup:#?}") };
        // Each look waits until there is a dump.
        let dumping = rig.path("dumping");
        rig.wrap_restic(&format!(
            r#"case " $* " in
                *' ls '*) until [ -s '{0}' ]; do sleep 0.05; done;;
                *' dump '*) echo $$ > '{0}';;
            esac
            exec $RESTIC "$@""#,
            dumping.display()
        ));
        rig.deadline_secs = 60;
        let file = format!("{source}/inner/file-1");
        let spec = JobSpec::Download {
            snapshot: &done.snapshot,
            path: OsText::new(file.as_bytes()),
            archive: false,
        };
        assert_eq!(rig.run(spec).await.succeeded().end.summary, JobSummary::Download(5000));

        let spec = JobSpec::Download {
            snapshot: &done.snapshot,
            path: OsText::new(source.as_bytes()),
            archive: false,
        };
        fs::remove_file(&dumping).unwrap();
        let ran = rig.run(spec).await.failed(Class::NotDownloadable);
        assert!(ran.end.message.contains("is a folder"), "{}", ran.end.message);
        let pid = fs::read_to_string(&dumping).unwrap();
        until("the dump to be gone", || !Path::new("/proc").join(pid.trim()).exists()).await;
    })
    .await;
}
