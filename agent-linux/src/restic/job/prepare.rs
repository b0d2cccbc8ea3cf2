//! Before restic: everything that can be known to be wrong.

use super::{
    super::{
        args::{self, ArgsError, Setting},
        figures::Figures,
        location::{self, Location, LocationError},
        outcome::{Stop, Verdict},
        preflight,
        secrets::Credentials,
        sources,
        ssh::{self, Held, Target},
        step::Step,
        summary::SourceSeen,
        version::{Restic, Version},
    },
    Job, StorageAccess,
    steps::stopped,
};
use schema::{Class, JobSpec, RepoId, Slot, SourceReason, job::BackupSpec};
use std::{io::ErrorKind, path::PathBuf};
use tokio::time::sleep_until;

impl Job<'_> {
    /// Everything before restic: the reason when it need not be started.
    pub(super) async fn prepare(&mut self, spec: &JobSpec<'_>) -> Result<Vec<Step>, Verdict> {
        let Some(credentials) = self.credentials else {
            let message = "The agent has no credentials for the repository. Set them on the host's page.";
            return Err(Verdict::failed(Class::NoCredentials, message));
        };
        let location = Location::parse(&credentials.url).map_err(refused_location)?;
        self.repository = location::compose(credentials).map_err(refused_location)?;
        if let Some((name, _)) = credentials.env.iter().find(|(name, _)| !location::is_env_allowed(name)) {
            let message = format!(
                "The agent does not pass the variable {name} to restic. Remove it from the credentials."
            );
            return Err(Verdict::failed(Class::Policy, &message));
        }
        let is_ssh_there = || ssh::is_there(&self.places.path);
        if matches!(location, Location::Sftp(_)) && !is_ssh_there() {
            let message = "ssh is not installed on this machine, and restic needs it for sftp addresses.";
            return Err(Verdict::failed(Class::Other, message));
        }
        let version = self.find_restic().await?;
        let cache = self.places.cache.to_string_lossy();
        let setting = Setting {
            version,
            restic_host: self.restic_host,
            small: self.places.small,
            cache: &cache,
            upload_kib: self.places.upload_kib,
            download_kib: self.places.download_kib,
            command: self.command,
            restore_to: self.restore_to.as_ref(),
        };
        let mut steps = args::plan_steps(spec, &setting).map_err(|error| refused_args(&error))?;
        for folder in [&self.places.cache, &self.places.temp] {
            if let Err(error) = tokio::fs::create_dir_all(folder).await {
                let message = format!("The agent can't make its folder {}: {error}.", folder.display());
                let is_full = matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
                return Err(Verdict::failed(if is_full { Class::DiskFull } else { Class::Other }, &message));
            }
        }
        let slot = if self.everyday.is_some() { Slot::Admin } else { Slot::Repo };
        self.way = self.way_to(credentials, &location, slot)?;
        if let JobSpec::Backup(backup) = spec {
            let left_out = self.look_at_sources(backup, &location).await?;
            steps.iter_mut().for_each(|step| step.leave_out(&left_out));
        }
        let has_proxy = credentials.env.iter().any(|(name, _)| name.ends_with("_PROXY"));
        if let Some((host, port)) = location.server().filter(|_| !has_proxy)
            && let Err(reason) = self.unless_stopped(preflight::reach(host, port)).await?
        {
            let message = format!(
                "The storage at {host}, port {port}, can't be reached: {reason}. Check that its server runs, the address and port, and the network between."
            );
            return Err(Verdict::failed(Class::Network, &message));
        }
        let repo = match self.everyday {
            Some(everyday) => Some(self.same_repo(everyday).await?),
            None => None,
        };
        if !self.known.figures.is_at(&credentials.url) {
            self.settle_figures(&credentials.url, spec, repo).await;
        }
        if steps.first().is_some_and(|step| step.kind.takes_lock()) {
            self.settle_processes().await;
            if self.known.unclean {
                self.say("The last job here did not end cleanly: looking for a lock that it left behind.")
                    .await;
                if self.remove_left_locks().await {
                    self.say("Removed the lock of a restic of this agent that is gone.").await;
                }
            }
        }
        match self.wires.poll_stop() {
            Some(stop) => Err(stopped(stop)),
            None => Ok(steps),
        }
    }

    /// How a storage is reached: by ssh it may show no other keys than those that are kept, where some are.
    pub(super) fn way_to(
        &self,
        credentials: &Credentials,
        location: &Location<'_>,
        slot: Slot,
    ) -> Result<StorageAccess, Verdict> {
        let ssh = Target::of(location);
        let held = ssh.as_ref().filter(|_| !credentials.host_keys.is_empty());
        let held = held.map(|target| Held::to(target, (slot, &credentials.host_keys), &self.places.temp));
        match held.transpose() {
            Ok(held) => Ok(StorageAccess { ssh: ssh.map(|target| (slot, target)), held }),
            Err(error) => Err(Verdict::failed(Class::Other, &format!("Not done: {error}."))),
        }
    }

    /// At an address that is new here: the figures stay when it is the same repository, reached in another way.
    async fn settle_figures(&mut self, url: &str, spec: &JobSpec<'_>, repo: Option<RepoId>) {
        let figures = core::mem::replace(&mut self.known.figures, Figures::at(url));
        let (Some(known), false) = (figures.repo, matches!(spec, JobSpec::Probe | JobSpec::Init)) else {
            // A probe and an init ask by themselves.
            return;
        };
        let repo = match repo {
            None => self.side_step(&args::config()).await.and_then(|found| found.repo),
            repo => repo,
        };
        match repo {
            Some(repo) if repo == known => self.known.figures = figures.also_at(url),
            Some(repo) => self.known.figures.identify(repo),
            None => {}
        }
    }

    async fn find_restic(&mut self) -> Result<Version, Verdict> {
        if let Some(restic) = self.known.restic.as_ref().filter(|restic| restic.is_unchanged()) {
            return Ok(restic.version());
        }
        self.known.restic = None;
        match Restic::probe(&self.places.restic, &self.places.path).await {
            Ok(restic) => Ok(self.known.restic.insert(restic).version()),
            Err(error) => Err(Verdict::failed(Class::ResticMissing, &format!("{error}."))),
        }
    }

    /// What each path would bring; gives the patterns of what the agent leaves out by itself.
    async fn look_at_sources(
        &mut self,
        backup: &BackupSpec<'_>,
        location: &Location<'_>,
    ) -> Result<Vec<String>, Verdict> {
        let absent = self.unless_stopped(preflight::not_mounted(backup.required_mounts)).await?;
        if !absent.is_empty() {
            let absent = absent.join(", ");
            let message = format!(
                "Nothing is mounted on {absent}, so nothing was backed up. Mount it, then run the backup again."
            );
            return Err(Verdict::failed(Class::SourceMissing, &message));
        }
        if self.command.is_some() {
            return Ok(Vec::new());
        }
        let repository = match location {
            Location::Local(path) => Some(PathBuf::from(path)),
            _ => None,
        };
        let own = sources::NeverSaved::at(self.places.home.clone(), self.places.cache.clone(), repository);
        let look = sources::look(backup, own);
        let found = self.unless_stopped(look).await?.map_err(|refusal| {
            Verdict::failed(Class::Policy, &format!("Nothing was backed up. {refusal}"))
        })?;
        let missing: Vec<&SourceSeen> =
            found.seen.iter().filter(|seen| seen.reason == SourceReason::Missing).collect();
        if !missing.is_empty() && missing.len() == backup.includes.count() {
            let paths: Vec<&str> = missing.iter().map(|seen| seen.path.as_str()).collect();
            let mut message = format!(
                "No such path: {}. Nothing was backed up. Check the paths of the source group.",
                paths.join(", ")
            );
            for seen in missing.iter().filter(|seen| !seen.leads_to.is_empty()) {
                message.push_str(&format!(" {}.", seen.to_wire()));
            }
            return Err(Verdict::failed(Class::SourceMissing, &message));
        }
        // What is missing is worth a warning, and the rest a snapshot.
        for seen in &found.seen {
            self.say(&seen.to_wire().to_string()).await;
        }
        self.findings = found.seen;
        Ok(found.left_out)
    }

    /// Waits for something before restic starts, and lets a stop end the wait.
    pub(super) async fn unless_stopped<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Verdict> {
        let (deadline, begun) = (self.wires.deadline, self.wires.begun);
        let stop = tokio::select! {
            done = work => return Ok(done),
            stop = self.wires.stop_asked() => stop,
            () = sleep_until(deadline.unwrap_or(begun)), if deadline.is_some() => Stop::Timeout,
        };
        self.wires.stop = Some(stop);
        Err(stopped(stop))
    }
}

pub(super) fn refused_location(error: LocationError) -> Verdict {
    let class = match error {
        LocationError::Empty => Class::NoCredentials,
        LocationError::StartsPrograms => Class::Policy,
        _ => Class::Other,
    };
    Verdict::failed(class, &format!("Not done: {error}."))
}

pub(super) fn refused_args(error: &ArgsError) -> Verdict {
    let class = match error {
        ArgsError::FollowsLinks { .. } => Class::Policy,
        ArgsError::Pattern(_) => Class::InvalidPattern,
        _ => Class::Other,
    };
    Verdict::failed(class, &format!("Not done: {error}."))
}
