//! Every message comes back as it was sent.

use crate::draw::{Draw, Source};
use proptest::prelude::*;
use schema::{
    Bulk, EnrollRequest, EnrollResponse, HostId, HostTopic, JobSpec, Key, Live, Plan, Presence, RepoStats,
    Report, Sealed, ToAgent, Topic, decode, encode,
    envelope::{NONCE_BYTES, OVERHEAD_BYTES, seal},
};

macro_rules! comes_back {
    ($($test:ident: $message:ident),* $(,)?) => {
        proptest! {
            $(
                #[test]
                fn $test(entropy in prop::collection::vec(any::<u8>(), 0..400)) {
                    let message: $message = Draw::draw(&mut Source(&entropy));
                    let mut buffer = vec![0; 64 * 1024];
                    let bytes = encode(&message, &mut buffer).expect("fits");
                    let back: $message = decode(bytes).expect("what was encoded");
                    prop_assert_eq!(&back, &message);
                    let mut again = vec![0; bytes.len()];
                    prop_assert_eq!(&*encode(&back, &mut again).expect("as long"), &*bytes);
                }
            )*
        }
    };
}

comes_back! {
    what_the_server_says_comes_back: ToAgent,
    a_plan_comes_back: Plan,
    a_report_comes_back: Report,
    what_is_live_comes_back: Live,
    a_piece_of_a_download_comes_back: Bulk,
    presence_comes_back: Presence,
    repository_figures_come_back: RepoStats,
    an_enrolment_request_comes_back: EnrollRequest,
    an_enrolment_answer_comes_back: EnrollResponse,
    a_job_specification_comes_back: JobSpec,
}

proptest! {
    #[test]
    fn a_sealed_report_comes_back(
        entropy: Vec<u8>, key: [u8; 32], key_id: u8, nonce: [u8; NONCE_BYTES], host: [u8; 16],
    ) {
        let report: Report = Draw::draw(&mut Source(&entropy));
        let key = Key::new(key);
        let topic = Topic::Host(HostId(host), HostTopic::Evt);
        let mut buffer = vec![0; 64 * 1024];
        let sealed = seal(&key, key_id, nonce, topic, &report, &mut buffer).expect("fits");
        let envelope = Sealed::parse(sealed).expect("an envelope");
        prop_assert_eq!(envelope.key_id, key_id);
        let mut plain = vec![0; sealed.len()];
        let opened = envelope.open(&key, topic, &mut plain).expect("opens");
        prop_assert_eq!(opened.len(), sealed.len() - OVERHEAD_BYTES);
        prop_assert_eq!(decode::<Report>(opened).expect("what was sealed"), report);
    }
}
