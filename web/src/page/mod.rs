//! The pages: each has a typed view, made from one snapshot, and its handlers. What several pages show alike has
//! a module of its own: a page uses that, never this one.

pub(crate) mod account;
pub(crate) mod acknowledge_link;
pub(crate) mod agent_access;
pub(crate) mod archive;
pub(crate) mod attention;
pub(crate) mod audit;
pub(crate) mod backup_charts;
pub(crate) mod bar;
pub(crate) mod cause;
pub(crate) mod changes;
pub(crate) mod channel;
pub(crate) mod channel_report;
mod choice;
pub(crate) mod confirm;
pub(crate) mod enrol;
pub(crate) mod fact;
pub(crate) mod filter_link;
pub(crate) mod find;
pub(crate) mod fleet;
pub(crate) mod folder;
pub(crate) mod form_address;
mod grace_form;
pub(crate) mod graces;
pub(crate) mod group;
pub(crate) mod head;
pub(crate) mod host;
pub(crate) mod host_incident;
pub(crate) mod host_settings;
pub(crate) mod incident;
pub(crate) mod incident_line;
pub(crate) mod incidents;
pub(crate) mod integrations;
pub(crate) mod job;
pub(crate) mod job_line;
pub(crate) mod job_view;
pub(crate) mod jobs;
pub(crate) mod kit;
pub(crate) mod maintenance;
pub(crate) mod maintenance_form;
pub(crate) mod notice_route;
pub(crate) mod notices;
pub(crate) mod pending;
pub(crate) mod preview;
pub(crate) mod problem_view;
pub(crate) mod proof;
pub(crate) mod quarantine;
pub(crate) mod refused;
pub(crate) mod replacement;
pub(crate) mod repo;
pub(crate) mod repo_password;
pub(crate) mod repo_view;
pub(crate) mod report;
mod report_form;
pub(crate) mod rest_choice;
pub(crate) mod restoration;
pub(crate) mod restore;
pub(crate) mod restored;
pub(crate) mod run_button;
pub(crate) mod schedule;
pub(crate) mod settings;
pub(crate) mod sign_in;
pub(crate) mod snapshots;
pub(crate) mod soundness;
#[cfg(test)]
mod tests;
pub(crate) mod topics;

use crate::template::{ListedView, View};

/// Takes every view there is: a view that is not here does not compile, and in tests neither does one without samples.
macro_rules! views {
    ($($view:ty),* $(,)?) => {
        $(impl ListedView for $view {})*

        /// The templates of all views; looked up at the start.
        pub(crate) const TEMPLATES_USED: &[&str] = &[$(<$view>::TEMPLATE),*];

        /// Renders the samples of each view.
        #[cfg(test)]
        const RENDERED: &[tests::Render] = &[$(tests::render::<$view>),*];
    };
}

views! {
    account::AccountView,
    acknowledge_link::AcknowledgeLinkView,
    agent_access::AgentAccessView,
    archive::ArchivesView,
    audit::AuditView,
    changes::ChangesView,
    channel::ChannelFormView,
    confirm::ConfirmView,
    crate::present::ErrorView,
    sign_in::LoginView,
    sign_in::ResumeView,
    sign_in::SetupView,
    enrol::EnrolView,
    enrol::NewHostView,
    find::FindView,
    fleet::FleetRowView,
    fleet::FleetView,
    folder::FolderView,
    group::GroupView,
    host::HostView,
    host_settings::HostSettingsView,
    incident::IncidentView,
    incidents::IncidentCountView,
    incidents::IncidentsView,
    integrations::IntegrationsView,
    job_view::JobView,
    jobs::HostJobsView,
    jobs::JobsView,
    kit::KitView,
    notice_route::RouteFormView,
    notices::NoticesView,
    pending::CountView,
    fleet::ServerView,
    pending::PendingView,
    preview::PreviewView,
    quarantine::QuarantineView,
    refused::RefusedView,
    repo::RepoPageView,
    report::ReportView,
    repo_password::RepoPasswordView,
    restoration::RestorationView,
    restore::RestoreView,
    schedule::ScheduleFormView,
    settings::SettingsView,
    snapshots::SnapshotsView,
    topics::TopicsView,
}
