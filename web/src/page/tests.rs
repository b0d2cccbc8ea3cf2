//! Views rendered strictly, with samples: plain ones, and ones full of what people and peers may send.

use super::bar::BarView;
use super::confirm::ConfirmView;
use super::enrol::UsedView;
use super::fact::Fact;
use super::filter_link::FilterLink;
use super::head::{BackupButton, HostHead, PresenceView};
use super::job_line::JobLine;
use super::problem_view::ProblemView;
use super::run_button::Run;
use super::*;
use crate::draw;
use crate::format::When;
use crate::joblog::LineView;
use crate::present::ErrorView;
use crate::shell::Shell;
use crate::template::{TEMPLATES, Templates};
use crate::words::Badge;
use ::fleet::Day;
use ::fleet::record::{ForgetFigures, Job, JobFigures, JobProgress, JobState, JobWhat};
use schema::{Class, HostId, JobId, Timestamp};

const HOSTILE: [&str; 6] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "'; DROP TABLE hosts; --",
    "\u{202e}gnp.exe\u{202c} مرحبا",
    "🦀👩‍👩‍👧‍👦 ünïcödé",
    "{{ v.secret }}{% raw %}",
];
const NOW: Timestamp = Timestamp(1_795_415_472_000);

/// Everything a person or a peer may fill in is this text.
struct Sample(String);

impl Sample {
    fn text(&self) -> String {
        self.0.clone()
    }

    fn some(&self) -> Option<String> {
        Some(self.text())
    }

    fn when(&self) -> When {
        When::ago(NOW, Timestamp(NOW.0 - 7_000_000))
    }

    fn badge(&self, state: &'static str) -> Badge {
        Badge::new(state, self.text())
    }

    fn problem(&self, field: &str) -> Option<ProblemView> {
        Some(ProblemView { field: Some(field.to_owned()), message: self.text() })
    }

    fn run(&self, why: bool) -> Run {
        Run {
            label: self.text(),
            why: why.then(|| self.text()),
            name: self.some(),
            small: true,
            primary: true,
        }
    }

    fn confirm(&self) -> ConfirmView {
        ConfirmView {
            title: self.text(),
            body: vec![self.text(), self.text()],
            action: "/x".to_owned(),
            button: self.text(),
            dismiss: self.text(),
            back: "/".to_owned(),
        }
    }

    fn filter(&self) -> FilterLink {
        FilterLink { label: self.text(), href: "/".to_owned(), count: "7".to_owned(), current: true }
    }

    fn kept(&self) -> crate::kept::Kept {
        let fields = vec![(self.text(), self.text())];
        crate::kept::Kept { to: "/x".to_owned(), fields, left_out: vec![self.text()] }
    }

    fn facts(&self) -> Vec<Fact> {
        vec![Fact::new("Plain", self.text()), Fact::new("Noted", self.text()).note(self.text()).code()]
    }

    fn head(&self) -> HostHead {
        HostHead {
            id: "01".to_owned(),
            name: self.text(),
            href: "/hosts/01".to_owned(),
            here: "/hosts/01".to_owned(),
            tab: "overview",
            badge: self.badge("ok"),
            mark: self.some(),
            acked: Some((self.text(), self.when())),
            labels: vec![self.text()],
            presence: PresenceView { online: false, text: self.text(), exact: self.some() },
            facts: self.text(),
            bar: Some(BarView {
                title: self.text(),
                text: self.text(),
                more: Some(("/x".to_owned(), "More")),
            }),
            backup: Some(BackupButton { href: None, action: "/x".to_owned(), run: self.run(true) }),
        }
    }

    fn line(&self, state: &'static str) -> JobLine {
        JobLine {
            href: "/jobs/01".to_owned(),
            title: self.text(),
            badge: self.badge(state),
            result: self.text(),
            when: self.when(),
        }
    }

    fn repo(&self) -> repo_view::RepoView {
        let points = [(NOW.0 - 1_000_000, 7), (NOW.0, 9)];
        repo_view::RepoView {
            size: Some(("1.84".to_owned(), "TiB")),
            size_note: self.text(),
            none: "none",
            as_of: Some(self.when()),
            chart: Some(repo_view::SizeChart {
                area: draw::area(&points, 288.0, 64.0, false).unwrap(),
                label: self.text(),
                from: self.text(),
                to: self.text(),
            }),
            snapshots: self.text(),
            newest: Some(self.when()),
            check: self.badge("warning"),
            check_note: self.some(),
            prune: self.text(),
            prune_note: self.some(),
            append_only: self.text(),
            id: self.text(),
            replaced: Some(self.text()),
            lock: Some(repo_view::LockBanner { title: "Locked", text: self.text(), stale: true }),
            lock_word: "held",
        }
    }

    fn credentials(&self, slot: &'static str) -> repo::CredentialsForm {
        repo::CredentialsForm {
            slot,
            set: true,
            badge: self.badge("ok"),
            url: self.text(),
            username: self.text(),
            has_password: true,
            has_repo_password: true,
            ca: self.text(),
            host_keys: self.text(),
            env_names: self.text(),
            unreadable: false,
            changed: Some(self.when()),
            changed_by: self.text(),
            held: Some("held"),
            trouble: Some("trouble"),
            problem: self.problem("url"),
        }
    }

    fn maintenance(&self) -> maintenance_form::MaintenanceForm {
        let rule = |key| maintenance_form::RuleForm {
            key,
            title: "Check",
            enabled: true,
            every: self.text(),
            in_words: self.some(),
            from: self.text(),
            until: self.text(),
            decision: maintenance_form::DecisionView { icon: "queued", lead: self.text(), rest: self.text() },
        };
        maintenance_form::MaintenanceForm {
            timezone: self.text(),
            rules: ["forget", "prune", "check"].map(rule).to_vec(),
            subset_pct: self.text(),
            subset_hint: self.some(),
            problem: self.problem("check.every"),
        }
    }

    fn job(&self, state: JobState) -> Job {
        Job {
            id: JobId([1; 16]),
            host: HostId([2; 16]),
            what: JobWhat::Backup { group: self.text() },
            state,
            class: Some(Class::Auth),
            refusal: None,
            actor: ::fleet::record::Actor::Operator(self.text()),
            created_at: NOW,
            sent_at: Some(NOW),
            accepted_at: Some(NOW),
            started_at: Some(NOW),
            finished_at: state.is_ended().then_some(NOW),
            cancel_asked_at: None,
            command_seq: 1,
            presumed: false,
            exit_code: Some(1),
            message: self.text(),
            late: false,
            log_lines: 2,
            figures: JobFigures::None,
            cancel_asked_by: None,
            made_for: None,
        }
    }

    fn job_page(&self, state: JobState) -> job_view::JobView {
        let job = self.job(state);
        let progress = JobProgress {
            at: NOW,
            permille: 420,
            bytes_done: 7 << 30,
            bytes_total: 9 << 30,
            rate_bytes: Some(74 << 20),
            left_secs: Some(7_000),
            current: self.text(),
            rates: vec![(Timestamp(NOW.0 - 9_000), 7), (NOW, 9)],
            ..JobProgress::default()
        };
        let line =
            |class| LineView { time: "06:31:12".to_owned(), class, text: self.text(), cut: self.some() };
        job_view::JobView {
            id: job.id.to_string(),
            href: "/jobs/01".to_owned(),
            title: self.text(),
            badge: self.badge("running"),
            host_name: self.text(),
            host_href: "/hosts/01".to_owned(),
            ended: state.is_ended(),
            can_cancel: !state.is_ended(),
            cancel: job_view::cancel(&job, &self.text()),
            live: (state == JobState::Running).then(|| job_view::live(NOW, &job, &progress)),
            waiting: self.text(),
            indeterminate: true,
            stages: job_view::stages(&job),
            verdict: job_view::verdict(&job, Some(("/again".to_owned(), self.some()))),
            mended: Some(job_view::Mended {
                href: "/jobs/02".to_owned(),
                title: self.text(),
                text: self.text(),
            }),
            cards: self.facts(),
            figures: job_view::figures(&job),
            findings: vec![self.text()],
            log: job_view::LogView {
                lines: vec![line("log-bad"), line("")],
                tail: (!state.is_ended()).then(|| "/jobs/01?part=job-log&after=2".to_owned()),
                find: self.text(),
                found: self.some(),
                none: None,
            },
            before: vec![self.line("failed"), self.line("ok")],
            facts: job_view::facts(NOW, &job, Some(&job), Some(&self.0)),
        }
    }

    fn job_list(&self) -> jobs::JobList {
        jobs::JobList {
            states: vec![self.filter()],
            kinds: vec![self.filter()],
            rows: vec![jobs::JobRow {
                id: "01".to_owned(),
                href: "/jobs/01".to_owned(),
                title: self.text(),
                host: self.some(),
                badge: self.badge("cancelled"),
                result: self.text(),
                by: self.text(),
                by_kind: "operator",
                when: self.when(),
            }],
            older: Some("/jobs?cursor=1".to_owned()),
            empty: "none",
            topics: Some("jobs".to_owned()),
            part_href: "/jobs?part=job-rows".to_owned(),
        }
    }
}

fn shell(nav: &'static str) -> Shell {
    Shell {
        nav,
        theme: Some("dark".to_owned()),
        theme_choice: "dark".to_owned(),
        csrf: "token".to_owned(),
        user: Some("mira".to_owned()),
        operator: true,
        admin: true,
        version: "0.1.0".to_owned(),
        hosts_connected: "41 hosts".to_owned(),
        is_well: true,
        troubles: Vec::new(),
        pending: Some("4".to_owned()),
        seq: 7,
    }
}

/// Renders the page and each of its parts, for one who may act and for one who may only look.
fn render<V: View>(templates: &Templates, view: &V) -> String {
    let mut all = String::new();
    for acts in [true, false] {
        let shell = Shell { operator: acts, admin: acts, ..shell(V::NAV) };
        let page =
            templates.render(V::TEMPLATE, &shell, view).unwrap_or_else(|e| panic!("{}: {e:#}", V::TEMPLATE));
        let is_fragment = V::TEMPLATE.starts_with("part/");
        assert_eq!(page.contains("</html>") && page.contains("<title>"), !is_fragment, "{}", V::TEMPLATE);
        for part in V::PARTS {
            let name = format!("part/{part}.html");
            let fragment =
                templates.render(&name, &shell, view).unwrap_or_else(|error| panic!("{name}: {error:#}"));
            assert!(!fragment.contains("<html"), "{name}");
            all.push_str(&fragment);
        }
        all.push_str(&page);
    }
    all
}

/// Every view there is, filled with the sample.
fn render_all(templates: &Templates, sample: &Sample) -> String {
    let s = sample;
    let mut all = String::new();
    let mut add = |text: String| all.push_str(&text);
    add(render(
        templates,
        &door::LoginView {
            name: s.text(),
            next: s.text(),
            set_up_first: false,
            kept: Some(s.kept()),
            problem: s.problem("password"),
        },
    ));
    add(render(
        templates,
        &door::SetupView { code: s.text(), name: s.text(), version: s.text(), problem: s.problem("name") },
    ));
    add(render(
        templates,
        &account::AccountView { name: s.text(), role: "admin", problem: s.problem("old") },
    ));
    add(render(templates, &s.confirm()));
    add(render(
        templates,
        &ErrorView {
            status: 404,
            title: "Not here",
            message: s.text(),
            back: Some(("/".to_owned(), s.text())),
        },
    ));
    add(render(templates, &fleet_view(s)));
    add(render(
        templates,
        &enrol::NewHostView {
            name: s.text(),
            labels: s.text(),
            rights: rights(s),
            open: true,
            problem: s.problem("labels"),
        },
    ));
    add(render(templates, &door::ResumeView { kept: s.kept(), csrf: "token".to_owned() }));
    for here in [true, false] {
        add(render(templates, &enrol_view(s, here)));
    }
    add(render(templates, &fleet::FleetRowView { h: fleet_row(s) }));
    add(render(templates, &host_view(s)));
    add(render(
        templates,
        &host_settings::HostSettingsView {
            head: s.head(),
            name: s.text(),
            labels: s.text(),
            restic_host: s.text(),
            delete: s.confirm(),
            problem: s.problem("name"),
        },
    ));
    let twin = || quarantine::TwinView {
        hostname: s.text(),
        os: s.text(),
        peer: s.text(),
        seen: s.when(),
        boot: s.text(),
    };
    for twins in [vec![twin(), twin()], Vec::new()] {
        add(render(
            templates,
            &quarantine::QuarantineView { head: s.head(), since: Some(s.when()), twins, same_state: true },
        ));
    }
    let refused = |action| refused::RefusedRow {
        from: s.text(),
        host: Some((s.text(), "/x".to_owned())),
        name: s.some(),
        reason: s.text(),
        code: "no_tls",
        advice: "Advice.",
        action,
        tries: s.text(),
        first: s.when(),
        last: s.when(),
    };
    let action = attention::Action::look("Look", "/x".to_owned());
    for rows in [vec![refused(Some(action)), refused(None)], Vec::new()] {
        add(render(templates, &refused::RefusedView { rows, left_out: s.some() }));
    }
    add(render(
        templates,
        &repo::RepoPageView {
            head: s.head(),
            sharers: [(s.some(), None), (None, s.some())]
                .map(|(confirm, undo)| repo::SharerLine {
                    name: s.text(),
                    href: "/x".to_owned(),
                    text: s.text(),
                    confirm: confirm.map(|_| "/x".to_owned()),
                    undo: undo.map(|_| "/x".to_owned()),
                })
                .into(),
            repo: s.repo(),
            stats_why: s.some(),
            unlock_why: None,
            actions: vec![repo::Action {
                key: "check",
                title: "Check",
                what: s.text(),
                action: "/x".to_owned(),
                run: s.run(true),
                asks: s.some(),
            }],
            prune: s.confirm(),
            repo_form: s.credentials("repo-credentials"),
            admin_form: s.credentials("admin-credentials"),
            probe_why: s.some(),
            test: repo::TestView {
                badge: s.badge("failed"),
                text: s.text(),
                href: Some("/jobs/01".to_owned()),
                adopt: Some("/hosts/01/snapshots".to_owned()),
            },
            maintenance: s.maintenance(),
        },
    ));
    for (pick, may_ask) in [(true, true), (false, true), (false, false)] {
        add(render(templates, &folder_view(s, pick, may_ask)));
    }
    add(render(templates, &group_view(s)));
    add(render(templates, &schedule_view(s)));
    add(render(templates, &pending_view(s)));
    add(render(templates, &preview_view(s)));
    add(render(templates, &snapshots_view(s)));
    add(render(templates, &jobs::JobsView { list: s.job_list() }));
    add(render(templates, &jobs::HostJobsView { head: s.head(), list: s.job_list() }));
    for state in JobState::ALL {
        add(render(templates, &s.job_page(state)));
    }
    add(render(
        templates,
        &audit::AuditView {
            actor: s.text(),
            action: s.text(),
            target: s.text(),
            actors: vec![s.filter()],
            rows: vec![audit::EntryView {
                when: s.when(),
                actor: s.text(),
                kind: "operator",
                action: s.text(),
                word: "host.created",
                target: s.text(),
                href: Some("/hosts/01".to_owned()),
                peer: s.text(),
                detail: s.text(),
            }],
            shown: s.text(),
            older: Some("/audit?cursor=1".to_owned()),
            part_href: Some("/audit?part=audit-rows".to_owned()),
            export_href: "/audit.csv".to_owned(),
        },
    ));
    for paused in [true, false] {
        add(render(templates, &topics_view(s, paused)));
    }
    add(render(templates, &settings_view(s)));
    all
}

fn fleet_row(s: &Sample) -> fleet::Row {
    fleet::Row {
        id: "01".to_owned(),
        name: s.text(),
        href: "/hosts/01".to_owned(),
        os: s.text(),
        badge: s.badge("never"),
        unprotected: true,
        strip: draw::strip(&[Day::Ok, Day::Failed, Day::None, Day::Missed, Day::Warning, Day::Running]),
        stale: true,
        good: Some(s.when()),
        size: s.some(),
        size_note: s.text(),
        next: Some(s.when()),
        online: true,
        seen: s.text(),
    }
}

fn fleet_view(s: &Sample) -> fleet::FleetView {
    fleet::FleetView {
        empty: false,
        protected: 3,
        total: "4 hosts".to_owned(),
        need: s.some(),
        note: s.text(),
        attention: vec![attention::Attention {
            state: "failed",
            cause: s.text(),
            hosts: vec![(s.text(), "/hosts/01".to_owned())],
            more: 2,
            text: s.text(),
            action: attention::Action { words: s.text(), href: "/hosts/01".to_owned(), sets: true },
            ack: Some(("/x".to_owned(), s.text())),
        }],
        q: s.text(),
        state: Some("ok"),
        state_query: "&state=ok".to_owned(),
        columns: vec![
            fleet::Column {
                label: "Host",
                href: Some("/".to_owned()),
                sorted: Some("ascending"),
                number: true,
                roomy: false,
            },
            fleet::Column { label: "Days", href: None, sorted: None, number: false, roomy: true },
        ],
        order: "by name",
        sort_query: "&sort=name".to_owned(),
        filters: vec![s.filter()],
        rows: vec![fleet_row(s)],
        rows_href: "/?part=fleet-hosts".to_owned(),
        shown: s.text(),
        before_href: Some("/?page=1".to_owned()),
        next_href: Some("/?page=3".to_owned()),
    }
}

fn rights(s: &Sample) -> crate::rights::Rights {
    crate::rights::Rights {
        source_roots: vec![s.text()],
        repositories: vec![s.text(), s.text()],
        restore_base: s.text(),
        restore_targets: vec![s.text()],
        restore_in_place: true,
        no_admin_slot: false,
    }
}

fn enrol_view(s: &Sample, here: bool) -> enrol::EnrolView {
    enrol::EnrolView {
        id: "01".to_owned(),
        name: s.text(),
        href: "/hosts/01".to_owned(),
        labels: vec![s.text()],
        here,
        used: Some(UsedView { when: s.when(), peer: s.text() }),
        command: s.some(),
        expires: Some(s.when()),
        rights: rights(s),
        open: false,
        problem: s.problem("repositories"),
        mqtt: vec![s.text()],
        bar: None,
        here_title: s.text(),
        here_facts: s.text(),
        has_credentials: false,
        test: s.some(),
        has_group: false,
        group_text: s.some(),
        first: s.run(true),
        first_action: "/x".to_owned(),
        done: None,
        has_admin: false,
    }
}

fn host_view(s: &Sample) -> host::HostView {
    host::HostView {
        head: s.head(),
        next_step: Some(host::NextStep { title: "It", text: "Do it.", label: "Do", href: "/x".to_owned() }),
        days: draw::large(&[(Day::Ok, s.text()), (Day::Missed, s.text())]),
        days_title: s.text(),
        days_note: s.text(),
        scale: vec![s.text(); 5],
        running: vec![host::RunningView {
            href: "/jobs/01".to_owned(),
            badge: s.badge("running"),
            permille: 420,
            percent: Some(42),
            text: s.text(),
        }],
        groups: vec![host::GroupRow {
            name: s.text(),
            href: "/x".to_owned(),
            paths: s.text(),
            good: Some(s.when()),
            size: s.some(),
            keeps: s.text(),
            action: "/x".to_owned(),
            run: s.run(true),
            look: Some(soundness::LookView {
                is_held: true,
                is_whole_again: false,
                title: s.text(),
                text: s.text(),
                at: soundness::LookAt { label: "Look at the backup", href: "/jobs/01".to_owned() },
                accept: Some("/x?mark=01".to_owned()),
            }),
        }],
        schedules: vec![schedule::ScheduleLine {
            href: "/x".to_owned(),
            words: s.text(),
            name: s.text(),
            cron: s.text(),
            groups: s.text(),
            next: Some(s.when()),
            retries: s.text(),
            badge: s.badge("unset"),
            problem: s.some(),
        }],
        waits: s.some(),
        jobs: vec![s.line("warning"), s.line("running"), s.line("cancelled"), s.line("queued")],
        charts: vec![backup_charts::BarChart {
            title: "Added by each backup",
            last: s.text(),
            path: "M0 0h1v1h-1z".to_owned(),
            label: s.text(),
            from: s.text(),
            to: s.text(),
        }],
        repo: s.repo(),
        facts: s.facts(),
    }
}

fn group_view(s: &Sample) -> group::GroupView {
    group::GroupView {
        host_name: s.text(),
        href: "/hosts/01".to_owned(),
        action: "/x".to_owned(),
        old_name: s.some(),
        offered: true,
        folders: "/hosts/01/folders?path=%2F&pick=1".to_owned(),
        name: s.text(),
        includes: s.text(),
        excludes: s.text(),
        exclude_if_present: s.text(),
        one_file_system: true,
        required_mounts: s.text(),
        hooks_before: s.text(),
        hooks_after: s.text(),
        keep: vec![group::KeepField { field: "keep_daily", label: "Daily", value: s.text() }],
        keep_within: s.text(),
        retry_max: s.text(),
        origins: s.text(),
        preview_why: s.some(),
        delete: Some(s.confirm()),
        problem: s.problem("keep_daily"),
    }
}

fn folder_view(s: &Sample, pick: bool, may_ask: bool) -> folder::FolderView {
    let entry = |href: Option<&str>| folder::EntryView {
        name: s.text(),
        icon: "folder",
        kind: "folder",
        href: href.map(str::to_owned),
        path: s.text(),
        line: s.some(),
        line_why: s.some(),
        size: s.some(),
        changed: s.some(),
    };
    folder::FolderView {
        head: s.head(),
        pick,
        own: pick,
        title: s.text(),
        path: s.text(),
        line: s.some(),
        line_why: s.some(),
        crumbs: ["/", "srv"]
            .map(|name| folder::Crumb { name: name.to_owned(), href: "/x".to_owned() })
            .into(),
        may_ask,
        why: s.some(),
        again: "/x?path=%2F&again=1".to_owned(),
        here: "/x?path=%2F".to_owned(),
        open: may_ask.then(|| "01".to_owned()),
        waits: s.text(),
        failed: Some((s.text(), "/jobs/01".to_owned())),
        listed: Some(s.when()),
        rows: vec![entry(Some("/x")), entry(None)],
        shown: s.text(),
        first_href: Some("/x".to_owned()),
        next_href: Some("/x".to_owned()),
        group_href: Some("/x".to_owned()),
    }
}

fn topics_view(s: &Sample, paused: bool) -> topics::TopicsView {
    topics::TopicsView {
        filter: s.text(),
        problem: s.some(),
        kind: Some("cmd"),
        kinds: vec![s.filter()],
        paused,
        pause_href: "/topics?pause=1".to_owned(),
        next_href: "/topics?part=topics-next&after=7".to_owned(),
        rate: s.text(),
        rows: vec![topics::MessageView {
            time: "06:41:12".to_owned(),
            iso: "2026-11-23T06:41:12Z".to_owned(),
            exact: s.text(),
            way: "from host",
            before: s.text(),
            name: s.text(),
            behind: s.text(),
            topic: s.text(),
            retained: true,
            says: s.text(),
            meta: s.text(),
            content: s.text(),
        }],
    }
}

fn schedule_view(s: &Sample) -> schedule::ScheduleFormView {
    schedule::ScheduleFormView {
        host_name: s.text(),
        href: "/hosts/01".to_owned(),
        action: "/x".to_owned(),
        old_name: s.some(),
        name: s.text(),
        cron: s.text(),
        timezone: s.text(),
        timezones: vec![s.text()],
        groups: vec![schedule::Choice { name: s.text(), chosen: true }],
        enabled: true,
        retry_max: s.text(),
        jitter_secs: s.text(),
        words: s.some(),
        times: vec![schedule::NextTime { local: s.text(), when: s.when() }],
        delete: Some(s.confirm()),
        problem: s.problem("cron"),
    }
}

fn preview_view(s: &Sample) -> preview::PreviewView {
    preview::PreviewView {
        open: s.some(),
        here: "/hosts/01/groups/etc/preview/02".to_owned(),
        failed: true,
        title: s.text(),
        text: s.text(),
        job_href: Some("/jobs/02".to_owned()),
    }
}

fn pending_view(s: &Sample) -> pending::PendingView {
    pending::PendingView {
        sentence: s.text(),
        can_hurry: true,
        rows: vec![pending::PendingRow {
            id: "01".to_owned(),
            host: s.text(),
            href: "/hosts/01".to_owned(),
            group: s.text(),
            schedule: s.text(),
            why: s.badge("failed"),
            job_href: Some("/jobs/01".to_owned()),
            missed: s.some(),
            due: s.when(),
            tries: s.text(),
            next: s.text(),
            action: "/pending/01".to_owned(),
            run: s.run(true),
            drop_label: s.text(),
        }],
        rows_href: "/pending?part=pending-rows".to_owned(),
        more: Some("/pending?cursor=01".to_owned()),
        given_up: vec![pending::GivenUpRow {
            title: s.text(),
            href: "/jobs/01".to_owned(),
            reason: s.text(),
            when: s.when(),
        }],
    }
}

fn snapshots_view(s: &Sample) -> snapshots::SnapshotsView {
    snapshots::SnapshotsView {
        head: s.head(),
        note_title: s.text(),
        note: s.text(),
        listed: Some(s.when()),
        refresh_why: s.some(),
        adopt: vec![snapshots::Adopted { tag: s.some(), text: s.text(), href: "/x".to_owned() }],
        more_adopt: s.some(),
        groups: vec![s.filter()],
        group: s.some(),
        rows: vec![snapshots::SnapshotView {
            id: s.text(),
            short: s.text(),
            when: s.when(),
            age: s.text(),
            lacks: s.some(),
            tags: vec![s.text()],
            more_tags: s.some(),
            paths: s.text(),
            more_paths: s.some(),
            size: s.text(),
            added: s.text(),
        }],
        shown: s.text(),
        cut: s.some(),
        newest_href: Some("/x".to_owned()),
        older_href: Some("/x".to_owned()),
        part_href: "/x?part=snapshot-list".to_owned(),
    }
}

fn settings_view(s: &Sample) -> settings::SettingsView {
    let form =
        || settings::AccountForm { name: s.text(), role: s.text(), debug: true, problem: s.problem("name") };
    settings::SettingsView {
        roles: ["viewer", "operator", "admin"],
        operators: vec![settings::OperatorRow { name: s.text(), role: "admin", signed_in: Some(s.when()) }],
        tokens: vec![settings::TokenRow {
            id: "01".to_owned(),
            name: s.text(),
            scopes: s.text(),
            created: s.when(),
            by: s.text(),
            used: None,
        }],
        viewers: vec![settings::ViewerRow { name: s.text(), sees: "all", created: s.when(), by: s.text() }],
        operator: form(),
        token: form(),
        scopes: vec![settings::ScopeChoice { word: "read", what: "Looks.", chosen: true }],
        viewer: form(),
        changing: s.some(),
        minted: Some(crate::minted::Minted {
            title: s.text(),
            text: "Copy.",
            needs_ca: true,
            lines: vec![("It", s.text())],
        }),
        facts: s.facts(),
        has_ca: true,
        sole_origin: s.some(),
        held: vec![settings::HeldRow {
            from: s.text(),
            door: "MQTT",
            account: s.some(),
            failures: s.text(),
            until: s.when(),
        }],
        held_more: s.some(),
        problem: Some(ProblemView { field: None, message: s.text() }),
    }
}

#[test]
fn every_view_renders_strictly_and_escapes_what_it_shows() {
    let templates = Templates::load(TEMPLATES_USED);
    let plain = render_all(&templates, &Sample("barn-qnap".to_owned()));
    let tags = plain.matches('<').count();
    for text in HOSTILE.map(str::to_owned).into_iter().chain(["x".repeat(4_096), String::new()]) {
        let pages = render_all(&templates, &Sample(text.clone()));
        assert!(!pages.contains("<script>alert") && !pages.contains("<img"), "{text}");
        if !text.is_empty() {
            assert_eq!(pages.matches('<').count(), tags, "{text} makes no element and loses none");
        }
        assert!(!pages.contains("style="), "the policy forbids it");
    }
}

#[test]
fn every_template_file_is_in_the_list_and_every_one_in_the_list_is_a_file() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/"));
            }
        }
    }
    files.sort();
    let mut listed: Vec<&str> = TEMPLATES.iter().map(|(name, _)| *name).collect();
    listed.sort_unstable();
    assert_eq!(files, listed);
}

#[test]
fn a_forget_shows_what_became_of_each_group() {
    let group = |group: &str, removed, class| ForgetFigures {
        group: group.to_owned(),
        kept: 7,
        removed,
        class,
        spared: 2,
    };
    let mut job = Sample("s".to_owned()).job(JobState::Failed);
    job.figures = JobFigures::Forget(vec![
        group("etc", 1, None),
        group("home", 0, Some(Class::AppendOnly)),
        group("mail", 0, Some(Class::NotTried)),
    ]);
    let shown: Vec<_> = job_view::figures(&job)
        .into_iter()
        .map(|it| format!("{}: {}, {}", it.name, it.value, it.note))
        .collect();
    assert_eq!(
        shown,
        [
            "etc: 1 removed, 7 kept, 2 of them by safeguard: newer ones lack data",
            "home: Failed, append only",
            "mail: Not tried, an earlier failure would have stopped it too",
        ]
    );
}
