//! What a person chose to restore: read out of an address, a form or a job, and written into an address or the hidden
//! fields of a form.

use fleet::clean_path;
use fleet::record::{RestorePlan, RestoreTarget};
use schema::{HostId, Overwrite};
use std::collections::BTreeSet;

/// The path that stands for all of a snapshot.
pub(super) const ALL: &str = "/";

/// Where to, as the form says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    /// A new folder, in the agent's own base.
    New,
    /// A new folder in a folder that is named.
    Within,
    /// A folder that is named.
    Folder,
    /// Where it was.
    Original,
}

impl To {
    const ALL: [Self; 4] = [Self::New, Self::Within, Self::Folder, Self::Original];

    /// Its word in forms and addresses.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new_folder",
            Self::Within => "within",
            Self::Folder => "folder",
            Self::Original => "original",
        }
    }
}

/// What a person chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choices {
    /// restic's id of the snapshot; empty = the newest.
    pub(super) snapshot: String,
    /// The source group whose newest snapshot is meant when none is named; empty = of any.
    pub(super) group: String,
    /// Absolute paths inside the snapshot; [`ALL`] alone = all of it.
    pub(super) paths: BTreeSet<String>,
    pub(super) to: To,
    /// The folder that a new one is made in, or that is restored into.
    pub(super) folder: String,
    pub(super) overwrite: Overwrite,
    pub(super) delete: bool,
    pub(super) verify: bool,
    /// The host that does it; `None` = the one whose files they are.
    pub(super) runner: Option<HostId>,
}

impl Default for Choices {
    fn default() -> Self {
        Self {
            snapshot: String::new(),
            group: String::new(),
            paths: BTreeSet::new(),
            to: To::New,
            folder: String::new(),
            overwrite: Overwrite::Never,
            delete: false,
            verify: true,
            runner: None,
        }
    }
}

impl Choices {
    /// Reads them; words that are not known leave what is chosen by default.
    pub(super) fn read<'a>(fields: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut choices = Self::default();
        let (mut was_asked, mut verify) = (false, false);
        for (name, value) in fields {
            match name {
                "snapshot" => value.clone_into(&mut choices.snapshot),
                "group" => value.clone_into(&mut choices.group),
                "path" if !value.is_empty() => choices.pick(value),
                "to" => {
                    was_asked = true;
                    choices.to = To::ALL.into_iter().find(|to| to.as_str() == value).unwrap_or(To::New);
                }
                "folder" => value.trim().clone_into(&mut choices.folder),
                "overwrite" => {
                    let found = Overwrite::ALL.into_iter().find(|overwrite| overwrite.as_str() == value);
                    choices.overwrite = found.unwrap_or(Overwrite::Never);
                }
                "delete" => choices.delete = true,
                "verify" => verify = true,
                // Whatever is no id is that of no host, and is told so.
                "runner" if !value.is_empty() => {
                    choices.runner = Some(value.parse().unwrap_or(HostId([0; 16])));
                }
                _ => {}
            }
        }
        // A box that is not ticked is not sent.
        choices.verify = verify || !was_asked;
        choices
    }

    /// Those of a restore that this host does, or of its dry run.
    pub(super) fn of_plan(plan: &RestorePlan, runner: HostId) -> Self {
        let (to, folder) = match &plan.target {
            RestoreTarget::NewFolder { within } if within.is_empty() => (To::New, String::new()),
            RestoreTarget::NewFolder { within } => (To::Within, within.clone()),
            RestoreTarget::Folder { path } => (To::Folder, path.clone()),
            RestoreTarget::Original => (To::Original, String::new()),
        };
        let mut paths: BTreeSet<String> = plan.paths.iter().cloned().collect();
        if paths.is_empty() {
            paths.insert(ALL.to_owned());
        }
        Self {
            snapshot: plan.snapshot.clone(),
            group: String::new(),
            paths,
            to,
            folder,
            overwrite: plan.overwrite,
            delete: plan.delete,
            verify: plan.verify,
            runner: Some(runner).filter(|runner| *runner != plan.source),
        }
    }

    /// The host that does it, of a snapshot of `source`.
    pub(super) fn runner_of(&self, source: HostId) -> HostId {
        self.runner.unwrap_or(source)
    }

    /// The dry run of it.
    pub(super) fn dry_run(&self, source: HostId) -> RestorePlan {
        let is_new = matches!(self.to, To::New | To::Within);
        RestorePlan {
            source,
            snapshot: self.snapshot.clone(),
            paths: self.paths.iter().filter(|path| *path != ALL).cloned().collect(),
            target: match self.to {
                To::New => RestoreTarget::NewFolder { within: String::new() },
                To::Within => RestoreTarget::NewFolder { within: self.folder.clone() },
                To::Folder => RestoreTarget::Folder { path: self.folder.clone() },
                To::Original => RestoreTarget::Original,
            },
            // What the form asks of files that are there is moot where there are none.
            overwrite: if is_new { Overwrite::Never } else { self.overwrite },
            delete: self.delete && !is_new,
            verify: self.verify,
            dry_run: true,
        }
    }

    /// Adds a path. One that can't be one stays as it is, so that the plan says why.
    pub(super) fn pick(&mut self, path: &str) {
        self.paths.insert(clean_path(path).unwrap_or_else(|_| path.to_owned()));
    }

    /// The one path that was picked.
    pub(super) fn one(&self) -> Option<&str> {
        self.paths.iter().next().filter(|_| self.paths.len() == 1 && !self.is_all()).map(String::as_str)
    }

    pub(super) fn is_all(&self) -> bool {
        self.paths.contains(ALL)
    }

    /// Whether all of a snapshot is to go to where it was, and nothing is deleted there: nobody has named what.
    pub(super) fn is_all_in_place(&self) -> bool {
        self.is_all() && self.to == To::Original && !self.delete
    }

    /// All of a snapshot is what it was made of; none = that is not known.
    pub(super) fn name_all(&mut self, paths: Vec<String>) {
        if !paths.is_empty() {
            self.paths = paths.into_iter().collect();
        }
    }

    /// Whether this path lies in a folder that is picked.
    pub(super) fn covers(&self, path: &str) -> bool {
        self.paths.iter().any(|picked| match picked.as_str() {
            ALL => path != ALL,
            picked => path.strip_prefix(picked).is_some_and(|rest| rest.starts_with('/')),
        })
    }

    /// What the form of the first part carries.
    pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = vec![("snapshot", self.snapshot.clone())];
        fields.extend(self.paths.iter().map(|path| ("path", path.clone())));
        fields
    }

    /// What the form of the second part says.
    pub(super) fn where_fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = vec![("to", self.to.as_str().to_owned())];
        fields.extend(Some(("folder", self.folder.clone())).filter(|(_, text)| !text.is_empty()));
        fields.push(("overwrite", self.overwrite.as_str().to_owned()));
        fields.extend(self.delete.then(|| ("delete", "1".to_owned())));
        fields.extend(self.verify.then(|| ("verify", "1".to_owned())));
        fields.extend(self.runner.map(|runner| ("runner", runner.to_string())));
        fields
    }

    /// All of it as the query of an address, without what is chosen anyhow.
    pub(super) fn query(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let whole =
            Self { snapshot: String::new(), group: String::new(), paths: BTreeSet::new(), ..self.clone() };
        if !self.group.is_empty() {
            query.append_pair("group", &self.group);
        }
        query.extend_pairs(self.fields().into_iter().filter(|(_, value)| !value.is_empty()));
        if whole != Self::default() {
            query.extend_pairs(self.where_fields());
        }
        query.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Choices {
        let fields: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
        Choices::read(fields.iter().map(|(name, value)| (name.as_ref(), value.as_ref())))
    }

    fn choices() -> Vec<Choices> {
        let picked = Choices {
            snapshot: "4d02a9f1".to_owned(),
            paths: ["/a b/ü&x", "/odd\\xff", "/n\n"].map(str::to_owned).into(),
            ..Choices::default()
        };
        vec![
            Choices::default(),
            Choices { group: "home".to_owned(), ..Choices::default() },
            picked.clone(),
            Choices { paths: [ALL.to_owned()].into(), ..picked.clone() },
            Choices { to: To::Within, folder: "/srv/back".to_owned(), ..picked.clone() },
            Choices { verify: false, ..picked.clone() },
            Choices { runner: Some(HostId([7; 16])), ..picked.clone() },
            Choices {
                to: To::Folder,
                folder: "/srv/back".to_owned(),
                overwrite: Overwrite::IfChanged,
                delete: true,
                ..picked.clone()
            },
            Choices { to: To::Original, overwrite: Overwrite::Always, verify: false, ..picked },
        ]
    }

    #[test]
    fn an_address_and_a_job_say_what_was_chosen() {
        for chosen in choices() {
            assert_eq!(read(&chosen.query()), chosen, "{}", chosen.query());
            if chosen.group.is_empty() && !chosen.paths.is_empty() {
                let source = HostId([1; 16]);
                let plan = chosen.dry_run(source);
                assert_eq!(Choices::of_plan(&plan, chosen.runner_of(source)), chosen);
            }
        }
    }

    #[test]
    fn what_was_typed_is_read_kindly_and_what_makes_no_difference_is_left_out_of_the_plan() {
        let typed =
            read("path=%2Fsrv%2F%2Fa%2F&path=&path=nonsense&to=moon&overwrite=x&delete=1&folder=+%2Fx+");
        assert_eq!(typed.paths, ["/srv/a", "nonsense"].map(str::to_owned).into());
        assert_eq!((typed.to, typed.overwrite, typed.verify), (To::New, Overwrite::Never, false));
        assert_eq!(typed.folder, "/x");
        let plan = typed.dry_run(HostId([1; 16]));
        assert!(!plan.delete, "a new folder holds nothing that could be deleted");
        assert_eq!(plan.target, RestoreTarget::NewFolder { within: String::new() });
        assert!(read("path=%2Fa").verify, "it was not asked yet");
    }

    #[test]
    fn all_of_a_snapshot_in_its_places_is_what_it_was_made_of() {
        let mut all = read("path=%2F&to=original&overwrite=never&verify=1");
        assert!(all.is_all_in_place());
        all.name_all(Vec::new());
        assert!(all.is_all_in_place(), "that is not known");
        all.name_all(vec!["/srv/a".to_owned(), "/srv/b".to_owned()]);
        assert_eq!(all.dry_run(HostId([1; 16])).paths, ["/srv/a", "/srv/b"]);
        for other in ["path=%2F&to=original&delete=1", "path=%2F&to=new", "path=%2Fa&to=original"] {
            assert!(!read(other).is_all_in_place(), "{other}");
        }
    }

    #[test]
    fn what_lies_in_a_picked_folder_is_picked() {
        let chosen = read("path=%2Fsrv%2Fa");
        assert!(chosen.covers("/srv/a/b") && !chosen.covers("/srv/a") && !chosen.covers("/srv/ab"));
        assert!(read("path=%2F").covers("/srv") && !read("path=%2F").covers("/"));
    }
}
