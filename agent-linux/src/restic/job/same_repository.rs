//! Before anything is deleted: the admin credentials must open the repository that the everyday ones open.
//!
//! Both are asked each time. An id from before would be no proof: another repository may have been made at the same
//! address since.

use super::{
    super::{
        args,
        location::{self, Location},
        outcome::{MAX_MESSAGE_BYTES, Verdict},
        secrets::Credentials,
    },
    Job, StorageAccess,
    prepare::refused_location,
    steps::Done,
};
use schema::{Class, Outcome, RepoId, Slot};
use zeroize::Zeroizing;

impl<'j> Job<'j> {
    /// The repository that both open; the reason when there is no such one.
    pub(super) async fn same_repo(&mut self, everyday: &'j Credentials) -> Result<RepoId, Verdict> {
        let admin_repo = repo_of(self.side_run(&args::config()).await)?;
        let everyday_repo = match self.everyday_way(everyday) {
            Ok((repository, way)) => {
                let admin = (self.credentials.replace(everyday), self.repository.clone(), self.way.clone());
                (self.repository, self.way) = (repository, way);
                let done = self.side_run(&args::config()).await;
                (self.credentials, self.repository, self.way) = admin;
                repo_of(done)
            }
            Err(verdict) => Err(verdict),
        };
        match everyday_repo {
            Ok(repo) if repo == admin_repo => Ok(repo),
            Ok(repo) => Err(Verdict::failed(Class::OtherRepo, &not_the_same(admin_repo, repo))),
            Err(verdict) if verdict.outcome == Outcome::Cancelled => Err(verdict),
            Err(verdict) => Err(unknown(verdict)),
        }
    }

    /// The address with its login, and the way to it.
    fn everyday_way(&self, everyday: &Credentials) -> Result<(Zeroizing<String>, StorageAccess), Verdict> {
        let location = Location::parse(&everyday.url).map_err(refused_location)?;
        let repository = location::compose(everyday).map_err(refused_location)?;
        Ok((repository, self.way_to(everyday, &location, Slot::Repo)?))
    }
}

fn repo_of(done: Done) -> Result<RepoId, Verdict> {
    match (done.is_ok(), done.found.repo) {
        (true, Some(repo)) => Ok(repo),
        (true, None) => {
            let message = "restic's answer does not say which repository it is.";
            Err(Verdict::failed(Class::Other, message))
        }
        (false, _) => Err(done.verdict),
    }
}

fn not_the_same(admin: RepoId, everyday: RepoId) -> String {
    // As long as restic itself names a repository.
    let short = |repo: RepoId| repo.to_string().chars().take(10).collect::<String>();
    format!(
        "The admin credentials open another repository (id {}) than the everyday ones (id {}): set them again. Nothing was deleted.",
        short(admin),
        short(everyday)
    )
}

/// The everyday credentials open nothing at present: nobody knows whether the admin credentials lead to the same place.
fn unknown(mut verdict: Verdict) -> Verdict {
    verdict.message.insert_str(
        0,
        "Nothing was deleted: whether the admin credentials open the same repository as the everyday ones can't be told, for the everyday ones open none. ",
    );
    let end = verdict.message.floor_char_boundary(MAX_MESSAGE_BYTES);
    verdict.message.truncate(end);
    verdict
}
