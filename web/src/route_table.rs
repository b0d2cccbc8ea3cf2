//! The route table: every address with its method and the scope that it needs. The router is built from it, the
//! OpenAPI document is written from it, and the tests walk through it.

use crate::{
    api,
    app::{App, Ctx},
    asset, authorize,
    authorize::RouteGuard,
    download, events, export, feed, health, metrics, openapi,
    openapi::Doc,
    page,
    route::{Route, delete, get, open, own, patch, post, put},
    run,
};
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::{Json, Router};
use fleet::record::Scope::{Admin, Metrics, Read, Restore, Run, Write};
use serde_json::Value;

/// All routes.
pub(crate) fn table() -> Vec<Route> {
    let mut all = signed_out();
    all.extend(pages());
    all.extend(form_addresses());
    all.extend(runs());
    all.extend(api_accounts());
    all.extend(api_hosts());
    all.extend(api_jobs());
    all
}

/// Addresses that forms are sent to, and where their answer may stand: opened or loaded again, they lead to the page
/// that the form is on.
fn form_addresses() -> Vec<Route> {
    use page::form_address::to_page_of_form as to_page;
    vec![
        get("/hosts", Read, to_page),
        get("/hosts/{host}/enroll-token", Write, to_page),
        get("/hosts/{host}/groups", Read, to_page),
        get("/hosts/{host}/schedules", Read, to_page),
        get("/hosts/{host}/repo-credentials", Read, to_page),
        get("/hosts/{host}/admin-credentials", Read, to_page),
        get("/hosts/{host}/maintenance", Read, to_page),
        get("/hosts/{host}/restore/plan", Restore, to_page),
        get("/hosts/{host}/snapshots/{snapshot}/download", Restore, to_page),
        get("/hosts/{host}/restore/start", Restore, to_page),
        get("/incidents/{incident}/acknowledge", Read, to_page),
        get("/incidents/{incident}/unacknowledge", Read, to_page),
        get("/operators", Admin, to_page),
        get("/operators/{name}", Admin, to_page),
        get("/tokens", Admin, to_page),
        get("/viewers", Admin, to_page),
        get("/archives/standbys", Admin, to_page),
        get("/integrations/home-assistant", Admin, to_page),
        get("/integrations/feeds", Admin, to_page),
        get("/notices/channels", Admin, to_page),
        get("/notices/channels/{name}/test", Admin, to_page),
        get("/notices/channels/{name}/report", Admin, to_page),
        get("/notices/channels/{name}/report/send", Admin, to_page),
        get("/notices/graces", Admin, to_page),
        get("/notices/routes", Admin, to_page),
        own(Method::GET, "/account/password", to_page),
    ]
}

fn signed_out() -> Vec<Route> {
    use page::{account, acknowledge_link, sign_in};
    vec![
        open(Method::GET, "/static/{version}/{name}", asset::serve),
        open(Method::GET, "/healthz", health::alive),
        open(Method::GET, "/readyz", health::ready),
        open(Method::GET, "/setup/{code}", sign_in::setup),
        open(Method::POST, "/setup/{code}", sign_in::set_up),
        open(Method::GET, "/login", sign_in::login),
        open(Method::POST, "/login", sign_in::sign_in),
        open(Method::GET, "/acknowledge/{incident}/{key}", acknowledge_link::show),
        open(Method::POST, "/acknowledge/{incident}/{key}", acknowledge_link::save),
        open(Method::GET, "/feeds/{key}/status.json", feed::status),
        open(Method::GET, "/feeds/{key}/badge.svg", feed::badge),
        open(Method::GET, "/feeds/{key}/calendar.ics", feed::calendar),
        own(Method::POST, "/logout", sign_in::sign_out),
        own(Method::GET, "/account", account::show),
        own(Method::POST, "/account/password", account::change_password),
        own(Method::POST, "/account/theme", account::change_theme),
        get("/metrics", Metrics, metrics::metrics),
        get("/ca.pem", Read, page::settings::ca),
    ]
}

fn pages() -> Vec<Route> {
    use page::{
        agent_access, archive, audit, changes, channel, channel_report, enrol, find, fleet, folder, graces,
        group, host, host_settings, incident, incidents, integrations, job, jobs, kit, maintenance,
        notice_route, notices, pending, preview, quarantine, refused, replacement, repo, restoration,
        restore, schedule, settings, snapshots, soundness, topics,
    };
    vec![
        get("/", Read, fleet::show),
        get("/hosts/new", Write, enrol::new),
        post("/hosts", Write, enrol::create),
        get("/hosts/{host}", Read, host::show),
        get("/hosts/{host}/row", Read, fleet::row_alone),
        get("/hosts/{host}/enrol", Write, enrol::show),
        post("/hosts/{host}/enroll-token", Write, enrol::new_token),
        get("/hosts/{host}/settings", Read, host_settings::show),
        post("/hosts/{host}", Write, host_settings::update),
        post("/hosts/{host}/acknowledge", Write, host::acknowledge),
        get("/hosts/{host}/start-backups", Write, replacement::confirm),
        post("/hosts/{host}/start-backups", Write, replacement::start),
        get("/hosts/{host}/quarantine", Read, quarantine::show),
        post("/hosts/{host}/quarantine", Write, quarantine::lift),
        get("/hosts/{host}/delete", Write, host_settings::confirm_delete),
        post("/hosts/{host}/delete", Write, host_settings::delete),
        get("/hosts/{host}/repo", Read, repo::show),
        post("/hosts/{host}/shared-with/{other}", Write, repo::confirm_sharing),
        post("/hosts/{host}/shared-with/{other}/undo", Write, repo::undo_sharing),
        post("/hosts/{host}/repo-credentials", Write, repo::save_repo_credentials),
        post("/hosts/{host}/admin-credentials", Write, repo::save_admin_credentials),
        get("/hosts/{host}/repo-credentials/delete", Write, repo::confirm_delete_repo),
        get("/hosts/{host}/admin-credentials/delete", Write, repo::confirm_delete_admin),
        post("/hosts/{host}/repo-credentials/delete", Write, repo::delete_repo_credentials),
        post("/hosts/{host}/admin-credentials/delete", Write, repo::delete_admin_credentials),
        post("/hosts/{host}/maintenance", Write, maintenance::save),
        get("/hosts/{host}/remove-locks", Run, maintenance::confirm_unlock),
        get("/hosts/{host}/folders", Read, folder::show_own),
        post("/hosts/{host}/folders", Run, folder::ask_own),
        get("/hosts/{host}/snapshots/{snapshot}", Read, folder::show_snapshot),
        post("/hosts/{host}/snapshots/{snapshot}", Run, folder::ask_snapshot),
        get("/hosts/{host}/new-group", Write, group::new),
        post("/hosts/{host}/groups", Write, group::create),
        get("/hosts/{host}/groups/{group}", Read, group::edit),
        post("/hosts/{host}/groups/{group}", Write, group::update),
        post("/hosts/{host}/groups/{group}/preview", Run, preview::ask),
        get("/hosts/{host}/groups/{group}/preview/{job}", Read, preview::show),
        get("/hosts/{host}/groups/{group}/accept", Write, soundness::confirm_accept),
        post("/hosts/{host}/groups/{group}/accept", Write, soundness::accept),
        get("/hosts/{host}/groups/{group}/delete", Write, group::confirm_delete),
        post("/hosts/{host}/groups/{group}/delete", Write, group::delete),
        get("/hosts/{host}/new-schedule", Write, schedule::new),
        post("/hosts/{host}/schedules", Write, schedule::create),
        get("/hosts/{host}/schedules/{schedule}", Read, schedule::edit),
        post("/hosts/{host}/schedules/{schedule}", Write, schedule::update),
        get("/hosts/{host}/schedules/{schedule}/delete", Write, schedule::confirm_delete),
        post("/hosts/{host}/schedules/{schedule}/delete", Write, schedule::delete),
        get("/hosts/{host}/snapshots", Read, snapshots::show),
        post("/hosts/{host}/snapshots/{snapshot}/changes", Run, changes::start),
        get("/hosts/{host}/changes", Read, changes::show),
        get("/find", Read, find::show),
        post("/find", Run, find::start),
        post("/find/pick", Restore, find::pick),
        post("/hosts/{host}/snapshots/{snapshot}/download", Restore, download::of_page),
        get("/hosts/{host}/repo-password", Admin, page::repo_password::form),
        post("/hosts/{host}/repo-password", Admin, page::repo_password::show),
        get("/hosts/{host}/restore", Restore, restore::show),
        post("/hosts/{host}/restore", Restore, restore::choose),
        post("/hosts/{host}/restore/plan", Restore, restore::make_plan),
        post("/hosts/{host}/restore/start", Restore, restore::start),
        get("/hosts/{host}/jobs", Read, jobs::of_host),
        get("/jobs", Read, jobs::all),
        get("/jobs/{job}", Read, job::show),
        get("/jobs/{job}/cancel", Run, job::confirm_cancel),
        get("/jobs/{job}/host-key", Write, job::confirm_host_key),
        post("/jobs/{job}/host-key", Write, job::accept_host_key),
        get("/jobs/{job}/log", Read, job::log_text),
        get("/incidents", Read, incidents::show),
        get("/incidents/{incident}", Read, incident::show),
        post("/incidents/{incident}/acknowledge", Write, incident::save),
        post("/incidents/{incident}/unacknowledge", Write, incident::take_back),
        get("/pending", Read, pending::show),
        post("/pending/run", Run, pending::run_all),
        get("/pending/{run}/delete", Run, pending::confirm_delete),
        post("/pending/{run}/delete", Run, pending::delete),
        get("/topics", Read, topics::show),
        get("/refused-connections", Read, refused::show),
        get("/refused-connections/{host}/{enrolled_at}", Write, refused::confirm),
        post("/refused-connections/{host}/{enrolled_at}", Write, refused::take_in),
        get("/restoration", Read, restoration::show),
        post("/restoration", Write, restoration::dismiss),
        get("/audit.csv", Read, export::audit),
        get("/report", Read, page::report::show),
        get("/report.csv", Read, crate::report::csv),
        get("/audit", Read, audit::show),
        get("/agent-access", Admin, agent_access::show),
        post("/agent-access/retire", Admin, agent_access::retire),
        post("/agent-access/rotate", Admin, agent_access::rotate),
        get("/archives", Admin, archive::show),
        post("/archives", Admin, archive::make),
        post("/archives/key", Admin, archive::set_key),
        post("/archives/{archive}/download", Admin, archive::download),
        post("/archives/standbys", Admin, archive::add_standby),
        post("/archives/standbys/{name}/remove", Admin, archive::remove_standby),
        get("/notices", Admin, notices::show),
        get("/notices/new-channel", Admin, channel::new),
        post("/notices/channels", Admin, channel::create),
        get("/notices/channels/{name}", Admin, channel::edit),
        post("/notices/channels/{name}", Admin, channel::update),
        post("/notices/channels/{name}/test", Admin, channel::test),
        post("/notices/channels/{name}/delete", Admin, channel::delete),
        post("/notices/channels/{name}/report", Admin, channel_report::update),
        post("/notices/channels/{name}/report/send", Admin, channel_report::send),
        post("/notices/graces", Admin, graces::set),
        post("/notices/graces/{label}/delete", Admin, graces::delete),
        get("/notices/new-route", Admin, notice_route::new),
        post("/notices/routes", Admin, notice_route::create),
        get("/notices/routes/{name}", Admin, notice_route::edit),
        post("/notices/routes/{name}", Admin, notice_route::update),
        post("/notices/routes/{name}/delete", Admin, notice_route::delete),
        get("/integrations", Admin, integrations::show),
        post("/integrations/home-assistant", Admin, integrations::switch_home_assistant),
        post("/integrations/feeds", Admin, integrations::add_feed),
        post("/integrations/feeds/{name}/delete", Admin, integrations::delete_feed),
        get("/kit", Admin, kit::show),
        post("/kit", Admin, kit::make),
        get("/settings", Admin, settings::show),
        post("/operators", Admin, settings::create_operator),
        post("/operators/{name}", Admin, settings::update_operator),
        post("/operators/{name}/delete", Admin, settings::delete_operator),
        post("/tokens", Admin, settings::create_token),
        post("/tokens/{id}/delete", Admin, settings::delete_token),
        post("/viewers", Admin, settings::create_viewer),
        post("/viewers/{name}/delete", Admin, settings::delete_viewer),
    ]
}

/// Run-now: each has two faces and one handler.
fn runs() -> Vec<Route> {
    use api::dto::{DiffBody, DrillBody, FindBody, FolderBody, ForgetDryRunBody, JobOut, RestoreBody, words};
    let job = |summary| Doc::new("jobs", summary).answers::<JobOut>(202);
    vec![
        post("/hosts/{host}/repo-credentials/test", Run, run::probe),
        post("/api/hosts/{host}/repo-credentials/test", Run, run::probe)
            .doc(job("Tests the repository credentials: reachable, initialised, append-only")),
        post("/hosts/{host}/groups/{group}/backup", Run, run::backup),
        post("/api/hosts/{host}/groups/{group}/backup", Run, run::backup)
            .doc(job("Backs up one source group")),
        post("/api/hosts/{host}/groups/{group}/forget-dry-run", Run, run::forget_dry_run).doc(
            job("Shows what a forget would remove of a source group, by rules that need not be stored")
                .takes::<ForgetDryRunBody>(),
        ),
        post("/hosts/{host}/snapshots/refresh", Run, run::snapshots),
        post("/api/hosts/{host}/snapshots/refresh", Run, run::snapshots)
            .doc(job("Asks the agent for a new listing of the snapshots")),
        post("/api/hosts/{host}/snapshots/{snapshot}/files", Run, run::ls)
            .doc(job("Asks the agent to list a folder of a snapshot").takes::<FolderBody>()),
        post("/api/hosts/{host}/folders", Run, run::browse)
            .doc(job("Asks the agent to list a folder of the host itself").takes::<FolderBody>()),
        post("/api/hosts/{host}/snapshots/{snapshot}/diff", Run, run::diff).doc(
            job("Compares a snapshot with another one; `differences` of the job has what changed").takes::<DiffBody>(),
        ),
        post("/api/hosts/{host}/find", Run, run::find).doc(
            job("Looks for names in the snapshots of a host; `found` of the job has what was found").takes::<FindBody>(),
        ),
        post("/api/hosts/{host}/restore", Restore, run::restore).doc(
            job("Restores files of a snapshot, or says what that would write (dry_run). The original places and `delete` need \
                 `confirm`, else 422 `confirm_required`")
                .takes::<RestoreBody>(),
        ),
        post("/hosts/{host}/drill", Run, run::prove),
        post("/api/hosts/{host}/drill", Run, run::drill).doc(
            job("Proves that a source group can be restored: restores files drawn by lot from its newest snapshot into a \
                 scratch folder on the host, compares them with what the host has, and takes them away again")
                .takes::<DrillBody>(),
        ),
        get("/hosts/{host}/repo/{kind}", Run, page::repo::confirm_run),
        post("/hosts/{host}/repo/{kind}", Run, run::repo),
        post("/api/hosts/{host}/repo/{kind}", Run, run::repo).doc(
            job("Runs one of: init, forget, prune, check, unlock, stats")
                .path_word::<words::RepoJob>("kind")
                .query_number(
                    "subset",
                    "check: percent of the data to read; else as the maintenance settings say",
                    0,
                    100,
                )
                .query_boolean("all", "unlock: true removes live locks too")
                .query("lock", "unlock with all: the `mark` of the lock that was shown"),
        ),
        post("/pending/{run}/run", Run, api::pending::run),
        post("/api/pending/{run}/run", Run, api::pending::run).doc(job("Retries a pending backup at once")),
        post("/jobs/{job}/cancel", Run, run::cancel),
        post("/api/jobs/{job}/cancel", Run, run::cancel).doc(job("Cancels a job")),
    ]
}

fn api_accounts() -> Vec<Route> {
    use api::dto::*;
    use api::{
        account, agent_access, archive, feed, grace, integration, kit, notice, operator, restoration,
        standby, storage,
    };
    let doc = |summary| Doc::new("accounts", summary);
    let notices = |summary| Doc::new("notices", summary);
    let integrations = |summary| Doc::new("integrations", summary);
    vec![
        open(Method::GET, "/api/openapi.json", openapi_json).doc(doc("This document")),
        open(Method::POST, "/api/setup", account::set_up).doc(
            doc("Creates the first account, with the code of the set-up link")
                .takes::<SetupIn>()
                .answers::<MeOut>(201),
        ),
        open(Method::POST, "/api/login", account::sign_in).doc(
            doc("Signs in: sets the session cookie and answers its CSRF token")
                .takes::<LoginIn>()
                .answers::<MeOut>(200),
        ),
        own(Method::POST, "/api/logout", account::sign_out).doc(doc("Signs out").empty()),
        get("/api/me", Read, account::me).doc(doc("The account of the session or token").answers::<MeOut>(200)),
        get("/api/operators", Admin, operator::list).doc(doc("Operators").lists::<OperatorOut>()),
        post("/api/operators", Admin, operator::create)
            .doc(doc("Creates an operator").takes::<OperatorIn>().answers::<OperatorOut>(201)),
        get("/api/operators/{name}", Admin, operator::one)
            .doc(doc("One operator").answers::<OperatorOut>(200)),
        patch("/api/operators/{name}", Admin, operator::update)
            .doc(doc("Changes role or password").takes::<OperatorPatch>().answers::<OperatorOut>(200)),
        delete("/api/operators/{name}", Admin, operator::delete).doc(doc("Deletes an operator").empty()),
        get("/api/tokens", Admin, operator::tokens)
            .doc(doc("API tokens, without their secrets").lists::<TokenOut>()),
        post("/api/tokens", Admin, operator::create_token).doc(
            doc("Creates an API token; its secret is in this answer only")
                .takes::<TokenIn>()
                .answers::<TokenCreated>(201),
        ),
        delete("/api/tokens/{id}", Admin, operator::delete_token).doc(doc("Deletes an API token").empty()),
        get("/api/viewers", Admin, operator::viewers).doc(doc("MQTT view accounts").lists::<ViewerOut>()),
        post("/api/viewers", Admin, operator::create_viewer).doc(
            doc("Creates an MQTT view account; its password is in this answer only")
                .takes::<ViewerIn>()
                .answers::<ViewerCreated>(201),
        ),
        delete("/api/viewers/{name}", Admin, operator::delete_viewer)
            .doc(doc("Deletes an MQTT view account").empty()),
        get("/api/agent-access", Admin, agent_access::show).doc(
            doc("The addresses by which agents reach this server and the authorities that they trust; who comes by which, who trusts \
                 which, and who would be lost without one")
                .answers::<AgentAccessOut>(200),
        ),
        post("/api/agent-access/retire", Admin, agent_access::retire).doc(
            doc("Has agents not be given an address any more that the settings name no more; 409 `would_lose` while hosts have \
                 come by no other one that stays, unless `force` is true")
            .takes::<RetireIn>()
            .answers::<AgentAccessOut>(200),
        ),
        post("/api/agent-access/rotate", Admin, agent_access::rotate).doc(
            doc("Does the next step towards another authority: tells agents of a new one, or, once all hosts have it, has it take the \
                 place of the present one; 409 `would_lose` while hosts do not have it, unless `force` is true")
            .takes::<RotateIn>()
            .answers::<AgentAccessOut>(200),
        ),
        get("/api/archives", Admin, archive::show).doc(
            doc("How the archives of the server stand, and those that there are").answers::<ArchivesOut>(200),
        ),
        post("/api/archives", Admin, archive::make).doc(
            doc("Makes an archive of the server now, as each night, and answers when it is there and was read back; 409 \
                 `archive_no_key`, `archive_busy`, 500 `archive_failed`")
            .answers::<ArchiveOut>(201),
        ),
        put("/api/archives/key", Admin, archive::set_key).doc(
            doc("Says what opens the archives that are made from now on: a passphrase or age recipients. A person gives the own \
                 password again; audited")
            .takes::<ArchiveKeyIn>()
            .answers::<ArchivesOut>(200),
        ),
        post("/api/archives/{archive}/download", Admin, archive::download).doc(
            doc("Sends an archive of the server. A person gives the own password again, a token with the scope admin has none; \
                 both are audited")
            .takes::<ArchiveDownloadIn>()
            .answers_as("application/octet-stream"),
        ),
        get("/api/channels", Admin, notice::channels).doc(
            notices("Channels by which incidents are told, and what waits there; never their secrets").lists::<ChannelOut>(),
        ),
        post("/api/channels", Admin, notice::add_channel).doc(
            notices("Adds a channel. The first one gets a route by which it is told everything, and a report each Monday, as soon as it was tested \
                     well")
                .takes::<ChannelIn>()
                .answers::<ChannelOut>(201),
        ),
        get("/api/channels/{name}", Admin, notice::channel)
            .doc(notices("One channel").answers::<ChannelOut>(200)),
        put("/api/channels/{name}", Admin, notice::change_channel).doc(
            notices("Changes a channel; what waits there is tried again at once. An absent secret stays as it was while it goes to the \
                     same machine")
                .takes::<ChannelIn>()
                .answers::<ChannelOut>(200),
        ),
        delete("/api/channels/{name}", Admin, notice::delete_channel)
            .doc(notices("Deletes a channel, and what waits there").empty()),
        post("/api/channels/{name}/test", Admin, notice::test).doc(
            notices("Sends a message that tells nothing else, at once, and answers what the other side said, without secrets")
                .answers::<ChannelTestOut>(200),
        ),
        put("/api/channels/{name}/report", Admin, notice::set_report).doc(
            notices("Says when a channel is sent a report. Not one that keeps alerts (PagerDuty, Opsgenie) or tells of no incident")
                .takes::<ReportPlanIn>()
                .answers::<ChannelOut>(200),
        ),
        post("/api/channels/{name}/report/send", Admin, notice::send_now).doc(
            notices("Sends a report now, of the last 7 days (30 where the channel is sent one monthly), and answers what the other side \
                     said, without secrets")
            .answers::<ChannelTestOut>(200),
        ),
        get("/api/graces", Admin, grace::list)
            .doc(notices("Labels whose hosts may have some causes for longer before that is an incident").lists::<GraceOut>()),
        put("/api/graces/{label}", Admin, grace::set).doc(
            notices("Sets the grace of a label; audited. It only makes it longer").takes::<GraceIn>().answers::<GraceOut>(200),
        ),
        delete("/api/graces/{label}", Admin, grace::delete)
            .doc(notices("Deletes the grace of a label").empty()),
        get("/api/routes", Admin, notice::routes)
            .doc(notices("Routes: which incidents are told by which channels").lists::<RouteOut>()),
        post("/api/routes", Admin, notice::add_route)
            .doc(notices("Adds a route").takes::<RouteIn>().answers::<RouteOut>(201)),
        get("/api/routes/{name}", Admin, notice::route).doc(notices("One route").answers::<RouteOut>(200)),
        put("/api/routes/{name}", Admin, notice::change_route)
            .doc(notices("Changes a route").takes::<RouteIn>().answers::<RouteOut>(200)),
        delete("/api/routes/{name}", Admin, notice::delete_route)
            .doc(notices("Deletes a route; what waits already is told still").empty()),
        get("/api/home-assistant", Admin, integration::home_assistant).doc(
            integrations("Whether Home Assistant finds the hosts by MQTT").answers::<HomeAssistantOut>(200),
        ),
        put("/api/home-assistant", Admin, integration::switch_home_assistant).doc(
            integrations("Switches that on or off; audited. While it is on, MQTT view accounts may subscribe to `homeassistant/#`")
                .takes::<HomeAssistantIn>()
                .answers::<HomeAssistantOut>(200),
        ),
        get("/api/feeds", Admin, feed::list).doc(
            integrations("Feeds: addresses by which others read a little of the fleet without an account; never their keys")
                .lists::<FeedOut>(),
        ),
        post("/api/feeds", Admin, feed::add).doc(
            integrations("Makes a feed: `status.json`, a badge or a calendar. Its address is in this answer only; audited")
                .takes::<FeedIn>()
                .answers::<FeedCreated>(201),
        ),
        delete("/api/feeds/{name}", Admin, feed::delete)
            .doc(integrations("Deletes a feed: there is nothing at its address any more").empty()),
        get("/api/standbys", Admin, standby::list).doc(
            doc("The standbys of this server: programs that fetch its archives, to take its place").lists::<StandbyOut>(),
        ),
        post("/api/standbys", Admin, standby::add).doc(
            doc("Adds a standby: it is sent archives that are encrypted for its recipient. Its token is in this answer only. A person \
                 gives the own password again; audited")
            .takes::<StandbyIn>()
            .answers::<StandbyCreated>(201),
        ),
        delete("/api/standbys/{name}", Admin, standby::remove)
            .doc(doc("Removes a standby: its token is worth nothing any more").empty()),
        open(Method::GET, "/api/standby/archive", standby::archive).doc(
            doc("For a standby, with its own token: an archive of now that is encrypted for its recipient; 304 when nothing has \
                 changed since the one of `If-None-Match`, 401 `no_standby`, 409 `superseded`, 503 `busy` with Retry-After")
            .answers_as("application/octet-stream"),
        ),
        open(Method::POST, "/api/standby/succession", standby::succession).doc(
            doc("For a server that was promoted: tells this one that its place is taken. Only what is sealed with the master key of \
                 both is believed, 403 else; then each change here is 409 `superseded`")
            .takes::<SuccessionIn>()
            .answers::<SuccessionOut>(200),
        ),
        get("/api/restoration", Read, restoration::show).doc(
            doc("What became of the hosts since this server was restored from an archive, salvaged or promoted, whether the \
                 server before it was told, and which hosts obey another one")
            .answers::<RestorationOut>(200),
        ),
        post("/api/restoration/dismiss", Write, restoration::dismiss)
            .doc(doc("Says that this needs no more attention; said twice, it changes nothing").empty()),
        get("/api/storage", Admin, storage::show).doc(
            doc("How the data file stands by the last look through it, and what of a damaged one can't be read. Of a \
                 damaged file the server only reads: each change is 503 `storage_damaged`")
            .answers::<StorageOut>(200),
        ),
        get("/api/kit", Admin, kit::show).doc(
            doc("How the break-glass kits that were made stand to the credentials of now").answers::<KitOut>(200),
        ),
        post("/api/kit", Admin, kit::make).doc(
            doc("Makes a break-glass kit: an age file that holds the credentials of hosts in clear once it is open. A person \
                 gives the own password again, a token with the scope admin has none; both are audited")
            .takes::<KitIn>()
            .answers_as("application/octet-stream"),
        ),
        get("/api/held-up", Admin, operator::held_up).doc(
            doc("Blocked sign-ins: addresses and accounts that have to wait after wrong passwords, at the pages and at the broker; \
                 the hundred longest waits")
            .lists::<HeldUpOut>(),
        ),
        get("/api/refused-connections", Read, api::refused::list).doc(
            Doc::new("audit", "Connections that the broker refused during the last day, the last first, with the reason; in \
                 memory, empty after a restart")
            .lists::<RefusedConnectionOut>(),
        ),
        post("/api/refused-connections/{host}/take-in", Write, api::refused::take_in).doc(
            Doc::new("hosts", "Takes in a machine that is refused as `newcomer`: it is this host from now on, and a machine \
                 that was it before is shut out")
            .empty(),
        ),
        get("/api/audit", Read, api::audit::list).doc(
            Doc::new("audit", "What happened, newest first")
                .query("actor", "part of the actor's name or kind")
                .query("action", "part of the action")
                .query("target", "part of the target's name or id")
                .paged::<AuditOut>(),
        ),
    ]
}

fn api_hosts() -> Vec<Route> {
    use api::dto::*;
    use api::{credentials, folder, group, host, maintenance, repo, schedule};
    let doc = |summary| Doc::new("hosts", summary);
    let repository = |summary| Doc::new("repository", summary);
    vec![
        get("/api/report", Read, api::report::report).doc(
            Doc::new("hosts", "The evidence report: how each host stands, when it was backed up, checked and proven, and what each should be; and what happened in the last days")
                .query("days", "of how many days it tells what happened: 7 (absent) or 30")
                .answers::<ReportOut>(200),
        ),
        get("/api/hosts", Read, host::list).doc(
            doc("Hosts, worst first")
                .query("q", "part of the name")
                .query("label", "has this label")
                .query_word::<words::HostStatus>("state", "has this status")
                .query("agent", "old: has an agent that is older than this server")
                .query(
                    "cause",
                    "needs attention for this very cause, and is not acknowledged: the code of its incident, with what tells \
                     it from others, such as failed.network, lacking.source_unreadable, clock.behind, offline",
                )
                .query("storage", "is on this storage, as incidents name it; empty: on none that is known")
                .paged::<HostOut>(),
        ),
        post("/api/hosts", Write, host::create).doc(
            doc("Adds a host; the enrolment token is in this answer only")
                .takes::<HostIn>()
                .answers::<HostCreated>(201),
        ),
        get("/api/hosts/{host}", Read, host::one).doc(doc("One host").answers::<HostOut>(200)),
        get("/api/hosts/{host}/usage", Read, host::usage).doc(
            doc("What its jobs and logs take of the data file, and what it sent over its budgets")
                .answers::<UsageOut>(200),
        ),
        patch("/api/hosts/{host}", Write, host::update)
            .doc(doc("Renames or labels a host").takes::<HostPatch>().answers::<HostOut>(200)),
        delete("/api/hosts/{host}", Write, host::delete)
            .doc(doc("Deletes a host and what is known of it").empty()),
        put("/api/hosts/{host}/acknowledgement", Write, host::acknowledge).doc(
            doc("Acknowledges the status of a host: until it changes, it needs no attention")
                .takes::<AckIn>()
                .answers::<HostOut>(200),
        ),
        delete("/api/hosts/{host}/acknowledgement", Write, host::unacknowledge)
            .doc(doc("Removes the acknowledgement").empty()),
        delete("/api/hosts/{host}/quarantine", Write, host::lift_quarantine).doc(
            doc("Lifts the quarantine of a host; without one, does nothing")
                .empty(),
        ),
        post("/api/hosts/{host}/enroll-token", Write, host::new_token).doc(
            doc("Creates a new enrolment token; the current key is revoked when it is used")
                .may_take::<EnrollTokenIn>()
                .answers::<HostCreated>(201),
        ),
        post("/api/hosts/{host}/start-backups", Write, host::start_backups).doc(
            doc("Starts the backups of a host whose place another machine has taken; without that, does nothing. 409 `hold_changed`: \
                 since `mark` was shown, yet another machine has taken it")
                .may_take::<StartBackupsIn>()
                .answers::<HostOut>(200),
        ),
        get("/api/hosts/{host}/repo-credentials", Read, credentials::get_repo)
            .doc(repository("Everyday credentials, never their secrets").answers::<CredentialsOut>(200)),
        put("/api/hosts/{host}/repo-credentials", Write, credentials::put_repo).doc(
            repository(
                "Sets them; an absent secret leaves the stored one unchanged while scheme, machine and port stay",
            )
            .takes::<CredentialsIn>()
            .answers::<CredentialsOut>(200),
        ),
        delete("/api/hosts/{host}/repo-credentials", Write, credentials::delete_repo)
            .doc(repository("Removes them").empty()),
        get("/api/hosts/{host}/admin-credentials", Read, credentials::get_admin)
            .doc(repository("Admin credentials, never their secrets").answers::<CredentialsOut>(200)),
        put("/api/hosts/{host}/admin-credentials", Write, credentials::put_admin).doc(
            repository(
                "Sets them; an absent secret leaves the stored one unchanged while scheme, machine and port stay",
            )
            .takes::<CredentialsIn>()
            .answers::<CredentialsOut>(200),
        ),
        delete("/api/hosts/{host}/admin-credentials", Write, credentials::delete_admin)
            .doc(repository("Removes them").empty()),
        get("/api/hosts/{host}/groups", Read, group::list).doc(doc("Source groups").lists::<GroupBody>()),
        post("/api/hosts/{host}/groups", Write, group::create)
            .doc(doc("Creates a source group").takes::<GroupBody>().answers::<GroupBody>(201)),
        get("/api/hosts/{host}/groups/{group}", Read, group::one)
            .doc(doc("One source group").answers::<GroupBody>(200)),
        put("/api/hosts/{host}/groups/{group}", Write, group::update)
            .doc(doc("Changes a source group, or creates it").takes::<GroupBody>().answers::<GroupBody>(200)),
        delete("/api/hosts/{host}/groups/{group}", Write, group::delete)
            .doc(doc("Deletes a source group").empty()),
        get("/api/hosts/{host}/groups/{group}/soundness", Read, group::soundness)
            .doc(doc("Which snapshots of a source group lack data").answers::<SoundnessOut>(200)),
        put("/api/hosts/{host}/groups/{group}/acceptance", Write, group::accept).doc(
            doc(
                "Accepts the last backup of a source group: its snapshots count as complete",
            )
            .takes::<AcceptIn>()
            .answers::<SoundnessOut>(200),
        ),
        get("/api/hosts/{host}/schedules", Read, schedule::list).doc(doc("Schedules").lists::<ScheduleOut>()),
        post("/api/hosts/{host}/schedules", Write, schedule::create)
            .doc(doc("Creates a schedule").takes::<ScheduleIn>().answers::<ScheduleOut>(201)),
        get("/api/hosts/{host}/schedules/{schedule}", Read, schedule::one)
            .doc(doc("One schedule").answers::<ScheduleOut>(200)),
        put("/api/hosts/{host}/schedules/{schedule}", Write, schedule::update)
            .doc(doc("Changes a schedule, or creates it").takes::<ScheduleIn>().answers::<ScheduleOut>(200)),
        delete("/api/hosts/{host}/schedules/{schedule}", Write, schedule::delete)
            .doc(doc("Deletes a schedule; its pending backups are given up").empty()),
        get("/api/hosts/{host}/repo", Read, repo::one)
            .doc(repository("What is known of the repository").answers::<RepoOut>(200)),
        put("/api/hosts/{host}/shared-with/{other}", Write, repo::confirm_sharing).doc(
            repository("Confirms that two hosts share a repository, by whatever addresses; both must name it")
                .empty(),
        ),
        delete("/api/hosts/{host}/shared-with/{other}", Write, repo::undo_sharing)
            .doc(repository("Withdraws that").empty()),
        get("/api/hosts/{host}/maintenance", Read, maintenance::one)
            .doc(repository("Maintenance settings, and what is decided now").answers::<MaintenanceOut>(200)),
        put("/api/hosts/{host}/maintenance", Write, maintenance::update).doc(
            repository("Changes the maintenance settings")
                .takes::<MaintenanceIn>()
                .answers::<MaintenanceOut>(200),
        ),
        get("/api/hosts/{host}/snapshots/{snapshot}/files", Read, folder::of_snapshot).doc(
            repository("A folder of a snapshot, as it was listed last")
                .query(
                    "path",
                    "the folder, absolute; / when absent. A byte that is no UTF-8 is written as \\xfc",
                )
                .in_parts()
                .answers::<FolderOut>(200),
        ),
        post("/api/hosts/{host}/repo-password", Admin, api::repo_password::show).doc(
            repository(
                "The password of the everyday repository in clear. A person gives the own password again, a token with the scope \
                 admin has none; both are audited",
            )
            .takes::<RepoPasswordIn>()
            .answers::<RepoPasswordOut>(200),
        ),
        get("/api/hosts/{host}/snapshots/{snapshot}/download", Restore, download::of_api).doc(
            repository(
                "The bytes of a file or folder of a snapshot, as the agent reads them: at once, beside whatever job runs, or not at all. \
                 409 `host_busy` while the host has another download or prunes, 503 `too_many_downloads` while four run; 404 `not_in_snapshot` when there is nothing of that path, 422 `not_downloadable` of a folder as raw, a file as an \
                 archive, or a link. What goes wrong behind the first byte ends \
                 the connection in the middle. A session needs a browser that sends `Sec-Fetch-Site`",
            )
            .query("path", "the file or folder, absolute. A byte that is no UTF-8 is written as \\xfc")
            .query("format", "`raw`, of a file (when absent); `tar.gz` or `zip`, of a folder")
            .query("runner", "another host that reads them, by its id or name, with the credentials of this one for this job")
            .answers_as("application/octet-stream"),
        ),
        get("/api/hosts/{host}/folders", Read, folder::of_host).doc(
            Doc::new("hosts", "A folder of the host itself, as it was listed last")
                .query(
                    "path",
                    "the folder, absolute; / when absent. A byte that is no UTF-8 is written as \\xfc",
                )
                .in_parts()
                .answers::<FolderOut>(200),
        ),
        get("/api/hosts/{host}/snapshots", Read, repo::snapshots).doc(
            repository("Snapshots of the last listing and those that backups have made since, newest first")
                .query("group", "only of this source group")
                .query_boolean(
                    "refresh",
                    "true asks the agent for a new listing: the job's id is in `refresh_job`",
                )
                .in_parts()
                .answers::<SnapshotsOut>(200),
        ),
    ]
}

fn api_jobs() -> Vec<Route> {
    use api::dto::*;
    use api::{credentials, incident, job, pending};
    let doc = |summary| Doc::new("jobs", summary);
    let of_incidents = |summary| Doc::new("incidents", summary);
    vec![
        get("/api/incidents", Read, incident::list).doc(
            of_incidents("Incidents, the newest first: causes that meet hosts or the server itself, from when they are noticed \
                          until nobody has them. Without `state` those that have opened")
                .query_word::<words::IncidentState>("state", "only these")
                .paged::<IncidentOut>(),
        ),
        get("/api/incidents/{incident}", Read, incident::one)
            .doc(of_incidents("One incident").answers::<IncidentOut>(200)),
        put("/api/incidents/{incident}/acknowledgement", Write, incident::acknowledge).doc(
            of_incidents("Acknowledges an incident: until the time given it needs nobody, unless it gets worse. Its hosts stay as \
                          they stand. 409 `incident_ended`: there is nothing to acknowledge any more")
                .may_take::<IncidentAckIn>()
                .answers::<IncidentOut>(200),
        ),
        delete("/api/incidents/{incident}/acknowledgement", Write, incident::unacknowledge)
            .doc(of_incidents("Removes the acknowledgement").empty()),
        get("/api/pending", Read, pending::list)
            .doc(doc("Pending backups, oldest first").paged::<PendingOut>()),
        delete("/api/pending/{run}", Run, pending::delete)
            .doc(doc("Drops a pending backup").empty()),
        get("/api/jobs", Read, job::list).doc(
            doc("Jobs, newest first")
                .query("host", "of this host")
                .query_word::<words::JobKind>("kind", "of this kind")
                .query_word::<words::JobState>("state", "in this state")
                .query_time("since", "made at or after this RFC 3339 time")
                .query_boolean("looks", "true: with those too that only showed something: listed folders, dry runs")
                .paged::<JobOut>(),
        ),
        get("/api/jobs/{job}", Read, job::one).doc(doc("One job").answers::<JobOut>(200)),
        get("/api/jobs/{job}/differences", Read, job::differences).doc(
            doc("What a comparison of two snapshots has found, by path").in_parts().answers::<DifferencesOut>(200),
        ),
        get("/api/jobs/{job}/found", Read, job::found).doc(
            doc("What a search by name has found, by path").in_parts().answers::<FoundOut>(200),
        ),
        put("/api/jobs/{job}/host-key", Write, credentials::accept_host_key).doc(
            doc("Accepts the ssh host key that the job was shown; no other is trusted from then on")
                .takes::<HostKeyIn>()
                .answers::<CredentialsOut>(200),
        ),
        get("/api/jobs/{job}/log", Read, job::log).doc(
            doc("Its log; plain text with `Accept: text/plain`")
                .query_number("after", "only lines with this number or a higher one", 0, u32::MAX)
                .answers::<LogOut>(200)
                .or_plain(),
        ),
        get("/api/events", Read, events::stream).doc(
            doc("Server-sent events: each names a topic that changed")
                .query("topics", "only these, comma-separated")
                .query("since", "the id of the newest event known: when there is a newer one, the topic `all` comes first")
                .answers_as("text/event-stream"),
        ),
    ]
}

/// `GET /api/openapi.json`.
async fn openapi_json(ctx: Ctx) -> Json<Value> {
    Json(openapi::document(&table(), &ctx.app.settings.server.version))
}

/// Builds the router: each route behind its own guard.
pub(crate) fn router(app: &App) -> Router<App> {
    table().into_iter().fold(Router::new(), |router, route| {
        let parameters = route.doc.as_ref().map(|doc| doc.parameters().into());
        let gate = RouteGuard { app: app.clone(), access: route.access, parameters };
        let guard = from_fn_with_state(gate, authorize::require);
        router.route(route.path, route.handler.route_layer(guard))
    })
}
