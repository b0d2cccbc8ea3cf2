//! Forget: the retention of each group, and what of it is chosen here rather than by restic.

use super::{
    super::{
        args,
        outcome::{MAX_MESSAGE_BYTES, Verdict},
        retention::{self, ByRules, MOST_SNAPSHOTS, RetentionChoice},
        step::Step,
        summary::{ForgetCount, JobSummary},
        version::Restic,
    },
    Job,
    kinds::{UNPROVEN, many},
    wall_clock,
};
use schema::{Class, Items, Outcome, job::ForgetGroup};

/// So many snapshots are named in one run of restic.
const AT_ONCE: usize = 500;

impl Job<'_> {
    /// Each group has its own result, and one that fails does not hide the others.
    /// `steps` are of those groups that have a keep rule.
    pub(super) async fn forget(
        &mut self,
        groups: &Items<'_, ForgetGroup<'_>>,
        steps: &[Step],
        dry_run: bool,
    ) -> Verdict {
        let (mut counts, mut worst) = (Vec::<ForgetCount>::new(), Verdict::succeeded());
        let mut is_over = false;
        let groups = groups.iter().filter(|group| !group.keep.is_empty());
        for (group, step) in groups.zip(steps) {
            let mut count = ForgetCount::of(&step.group);
            if is_over {
                count.class = Some(Class::NotTried);
                counts.push(count);
                continue;
            }
            let done = self.main_step(step).await;
            let verdict = if !done.is_ok() {
                done.verdict
            } else if !done.found.listing_is_whole && !self.has_no_snapshots(step).await {
                Verdict::failed(Class::Other, UNPROVEN)
            } else {
                let mut by_rules = done.found.by_rules;
                if group.origins.is_empty() {
                    // All that restic tells of is the group's own: what was not understood is left alone.
                    let told = done.found.kept.saturating_add(done.found.removed);
                    by_rules.left_out =
                        told.saturating_sub(many(by_rules.keep.len() + by_rules.remove.len()));
                }
                self.forget_chosen(&group, step, &by_rules, dry_run, &mut count).await
            };
            let is_done = matches!(verdict.outcome, Outcome::Succeeded | Outcome::Warning);
            if let Some(class) = verdict.class.filter(|_| !is_done) {
                count.class = Some(class);
                is_over = meets_every_group(class);
                if is_over || worst.class.is_none() {
                    worst = verdict;
                }
            }
            counts.push(count);
        }
        let removed_any = counts.iter().any(|count| count.removed > 0);
        if worst.class.is_some() && steps.len() > 1 {
            worst.message = with_groups(&counts, &worst.message);
        }
        self.summary = JobSummary::Forget(counts);
        if removed_any && !dry_run {
            self.count_snapshots().await;
        }
        if worst.class == Some(Class::RepoLocked) {
            self.look_at_locks().await;
        }
        if steps.is_empty() {
            worst.message = "No source group has a retention rule, so nothing is forgotten.".to_owned();
        }
        worst
    }

    /// Where a group has no snapshots restic's forget says nothing at all.
    async fn has_no_snapshots(&mut self, forget: &Step) -> bool {
        let step = args::snapshots_of(&forget.members);
        let is_none = self.side_step(&step).await.is_some_and(|found| found.snapshots == 0);
        is_none && self.identify().await
    }

    /// `step` was a dry run that said what the rules come to; what of it goes is chosen here and removed by name. At the
    /// end restic is asked once more, so that nothing is told that was not seen.
    async fn forget_chosen(
        &mut self,
        group: &ForgetGroup<'_>,
        step: &Step,
        by_rules: &ByRules,
        dry_run: bool,
        count: &mut ForgetCount,
    ) -> Verdict {
        if by_rules.left_out > 0 {
            let message = format!(
                "The group {} has more than {MOST_SNAPSHOTS} snapshots, too many lists of paths, or some that can't be \
                 read: nothing of it is removed.",
                group.group
            );
            return Verdict::failed(Class::Other, &message);
        }
        let choice = retention::choose(by_rules, group, wall_clock());
        (count.kept, count.spared) = (choice.kept, choice.spared);
        for text in words_of(group.group, &choice) {
            self.say(&text).await;
        }
        if dry_run || choice.remove.is_empty() {
            count.removed = many(choice.remove.len());
            count.lacking = Some(choice.lacking).filter(|_| !dry_run);
            return Verdict::succeeded();
        }
        let version = self.known.restic.as_ref().map(Restic::version);
        for ids in choice.remove.chunks(AT_ONCE) {
            let Some(version) = version else { break };
            let done = self.main_step(&args::forget_these(ids, version)).await;
            if !done.is_ok() {
                return done.verdict;
            }
        }
        let Some(after) = self.side_step(step).await.map(|found| found.by_rules) else {
            return Verdict::failed(Class::Other, UNPROVEN);
        };
        let is_left = |id: &String| after.keep.iter().chain(&after.remove).any(|member| member.id == *id);
        let left = choice.remove.iter().filter(|id| is_left(id)).count();
        count.removed = many(choice.remove.len() - left);
        count.kept = choice.kept.saturating_add(many(left));
        count.lacking = Some(retention::choose(&after, group, wall_clock()).lacking);
        if left > 0 {
            return Verdict::failed(
                Class::Other,
                &format!("{left} snapshots of {} are still there.", group.group),
            );
        }
        Verdict::succeeded()
    }
}

/// Why some stay that the rules would drop.
fn words_of(group: &str, choice: &RetentionChoice) -> Vec<String> {
    let poorer = choice.spared - choice.shared - choice.uncompared;
    [
        (poorer, "the newer ones lack paths that they have, hold less than half as much, or are not known to be whole"),
        (choice.shared, "they are of another source group, too"),
        (choice.uncompared, "there are too many to compare them all at once: the next forget goes on"),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, why)| {
        let (snapshots, stay) = if number == 1 { ("snapshot", "stays") } else { ("snapshots", "stay") };
        format!("{group}: {number} {snapshots} {stay} beside the rules: {why}.")
    })
    .collect()
}

/// Whether the next group of a forget would fail in the same way. An append-only storage is not among them: it stops
/// only groups that have something to remove.
const fn meets_every_group(class: Class) -> bool {
    matches!(
        class,
        Class::RepoLocked
            | Class::Auth
            | Class::RepoMissing
            | Class::Network
            | Class::DiskFull
            | Class::ResticMissing
            | Class::Timeout
            | Class::Cancelled
            | Class::UnknownAuthority
            | Class::WrongName
            | Class::CertificateExpired
            | Class::NoTls
            | Class::NeedsTls
            | Class::UnknownHostKey
            | Class::HostKeyChanged
    )
}

/// The message of a forget that failed in part: which groups, then what the worst of them said.
fn with_groups(counts: &[ForgetCount], message: &str) -> String {
    let names = |wanted: fn(&ForgetCount) -> bool| {
        counts
            .iter()
            .filter(|count| wanted(count))
            .map(|count| count.group.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let mut text = String::new();
    for (words, names) in [
        ("Done: ", names(|count| count.class.is_none())),
        ("Failed: ", names(|count| count.class.is_some_and(|class| class != Class::NotTried))),
        ("Not tried: ", names(|count| count.class == Some(Class::NotTried))),
    ] {
        if !names.is_empty() {
            text.push_str(words);
            text.push_str(&names);
            text.push_str(". ");
        }
    }
    text.push_str(message);
    text.truncate(text.floor_char_boundary(MAX_MESSAGE_BYTES));
    text
}
