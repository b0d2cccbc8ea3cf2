//! An agent whose host was deleted says what to do.

use tests::{
    scene::Scene,
    wait::{self, SOON},
};

#[test]
fn an_agent_whose_host_was_deleted_says_in_its_log_and_status_to_enrol_again() {
    let Some(mut scene) = Scene::start_without_repository() else { return };
    scene.agent.stop();
    let deleted = scene.api().delete(&format!("/api/hosts/{}", scene.host()));
    assert_eq!(deleted.status, 204, "{}", deleted.text);
    scene.agent.start();
    wait::until("the agent to say what to do", SOON, || {
        let (log, status) = (scene.agent.log(), scene.agent.status());
        let is_told = |said: &str| {
            said.contains("does not know this host any more") && said.contains("enroll --force TOKEN")
        };
        if is_told(&log) && is_told(&status) { Ok(()) } else { Err(format!("{log}\n{status}")) }
    });
}
