//! The text of a break-glass kit: what a person reads who has nothing but this file, restic, and a storage.
//!
//! Nothing in it is wider than a printed page, and whatever people or machines named stands as a word of a shell, so
//! that a command can be pasted as it is. Commands stand between fences; the small files that they use stand between
//! `# FILE` and `# END`.

use super::shell_word::{COLUMNS, shell_word};
use crate::format::{many, rfc3339};
use crate::visible::{Breaks, visible};
use fleet::record::{CredentialsFacts, Group};
use fleet::{KitCredentials, KitHost, KitSlot, host_key_fingerprint};
use schema::{HostId, Timestamp};
use zeroize::Zeroizing;

/// What the text is called once it was opened.
const OPENED: &str = "kit.txt";

/// The beginning, and how to use what follows.
pub(super) fn head(at: Timestamp, hosts: usize) -> String {
    let (rule, at, hosts) = ("=".repeat(COLUMNS), rfc3339(at), many(hosts as u64, "host"));
    format!(
        "{rule}
HOLDFAST BREAK-GLASS KIT
Made {at}, for {hosts}.
{rule}

With this text and restic alone, every backup that it lists can be restored.
Neither Holdfast nor the machine that was backed up is needed.

IT HOLDS PASSWORDS IN CLEAR. Keep it as the age file that it came in; open it
only on a machine that you trust, and remove the opened text afterwards.

1. Install restic (https://restic.net), 0.14 or newer. Open the kit in an empty
   folder, on a disk that has room for what is to be restored:

```
age -d -o {OPENED} holdfast-kit-DATE.age
```

2. Find the host. Each has a section of its own, which begins with a line
   \"Host NAME\":

```
grep -n '^Host ' {OPENED}
```

3. Run the commands of its section, one block after the other, in the same
   shell (any POSIX shell), in the folder where {OPENED} is. The first block
   writes the credentials into a small file that only you can read; the others
   hand them to restic as environment variables, so that no list of processes
   shows them.

4. To restore one folder or file alone, add to a restore command a line as this
   one, with the path as it was on the host:

```
  --include '/home/ada/letters' \\
```

5. When all is restored, remove {OPENED} and the small files (*.env, *.pem).

Where a value holds characters that can't be seen, it is written with
\"$(printf '\\ddd')\", and a long one goes on in the next line behind a \\. The
shell puts both together again: paste the lines as they are.

If the storage can't be written to, add --no-lock behind each \"restic\".
"
    )
}

/// The end.
pub(super) fn foot() -> String {
    format!("\n{}\nEnd of the kit.\n", "=".repeat(COLUMNS))
}

/// What stands for a host that was deleted while the kit was made.
pub(super) fn gone(host: HostId) -> String {
    format!("\n{}\nThe host with the id {host} was deleted while\nthis kit was made.\n", "=".repeat(COLUMNS))
}

/// The section of a host.
pub(super) fn host(kit: &KitHost) -> Zeroizing<String> {
    let mut out = Text(Zeroizing::new(String::with_capacity(16_384)));
    let (name, restic_host) = (&kit.host.name, &kit.host.restic_host);
    out.line(&format!("\n{}", "=".repeat(COLUMNS)));
    out.line(&format!("Host {name}"));
    out.line(&format!("{}\n", "=".repeat(COLUMNS)));
    out.fact("Id", &kit.host.id.to_string());
    out.fact_word("Name in snapshots", restic_host);
    if let Some(hostname) = kit.host.facts.as_ref().map(|facts| &facts.hostname)
        && !hostname.is_empty()
        && hostname != restic_host
    {
        out.fact_word("Its own name", hostname);
    }
    if !kit.host.labels.is_empty() {
        out.fact_word("Labels", &kit.host.labels.join(" "));
    }
    let everyday = SlotFiles { kind: "Everyday credentials", file: "" };
    let admin = SlotFiles { kind: "Admin credentials", file: "+admin" };
    let used = match (&kit.everyday, &kit.admin) {
        (KitSlot::Held(held), _) => Some((everyday, held)),
        (_, KitSlot::Held(held)) => Some((admin, held)),
        _ => None,
    };
    everyday.write(&mut out, &kit.everyday, name);
    if !matches!(kit.admin, KitSlot::Empty) {
        admin.write(&mut out, &kit.admin, name);
        out.line(
            "\nThe admin credentials may delete: use them only where the everyday ones no\nlonger do, or to \
             maintain the repository.",
        );
    }
    let Some((slot, held)) = used else {
        out.line("\nThis kit holds no credentials of this host: nothing can be restored with it.");
        return out.0;
    };
    let restic = slot.restic(&held.facts);
    out.line("\nAll snapshots of this host:\n");
    out.fence(|out| {
        out.command(&restic, "snapshots", &[("--host", restic_host)], None);
    });
    for group in &kit.groups {
        write_group(&mut out, &restic, restic_host, group);
    }
    if kit.groups.is_empty() {
        out.line("\nIt has no source groups. Its newest snapshot:\n");
        out.fence(|out| {
            out.command(&restic, "restore latest", &[("--host", restic_host)], Some("all"));
        });
    }
    out.0
}

fn write_group(out: &mut Text, restic: &str, restic_host: &str, group: &Group) {
    out.line(&format!("\nSource group {}", group.name));
    out.line(&"-".repeat(13 + group.name.chars().count()));
    for (what, paths) in [("Includes", &group.includes), ("Excludes", &group.excludes)] {
        if !paths.is_empty() {
            out.line(&format!("\n{what}:"));
            paths.iter().for_each(|path| out.item(path));
        }
    }
    let filter = [("--host", restic_host), ("--tag", group.name.as_str())];
    out.line("\nList its snapshots, list the files of the newest one, restore the newest one:\n");
    out.fence(|out| {
        out.command(restic, "snapshots", &filter, None);
        out.command(restic, "ls latest", &filter, None);
        out.command(restic, "restore latest", &filter, Some(&group.name));
    });
    if !group.origins.is_empty() {
        out.line("\nOlder snapshots that belong to it:\n");
        out.fence(|out| {
            for origin in &group.origins {
                let filter = [("--host", origin.hostname.as_str()), ("--tag", origin.tag.as_str())];
                out.command(restic, "snapshots", &filter, None);
            }
        });
    }
}

/// A credential slot of a host, and what stands in the names of its files.
#[derive(Clone, Copy)]
struct SlotFiles {
    kind: &'static str,
    file: &'static str,
}

impl SlotFiles {
    /// The beginning of a command: its variables, and restic with what it needs for the storage.
    fn restic(self, facts: &CredentialsFacts) -> String {
        let file = self.file;
        let cacert =
            if facts.ca.is_empty() { String::new() } else { format!(" --cacert \"$host{file}.pem\"") };
        format!("(. \"./$host{file}.env\" &&\nrestic{cacert}")
    }

    fn write(self, out: &mut Text, slot: &KitSlot, name: &str) {
        let Self { kind, file } = self;
        match slot {
            KitSlot::Empty => out.line(&format!("\n{kind}: none are set.")),
            KitSlot::Unreadable(facts) => {
                out.line(&format!("\n{kind}: the secrets that are stored can't be opened by the server."));
                out.fact_word("Repository", &facts.url);
            }
            KitSlot::Held(held) => {
                out.line(&format!(
                    "\n{kind}, revision {} of {}:\n",
                    held.facts.revision,
                    rfc3339(held.facts.updated_at)
                ));
                out.login(held);
                out.needs(&held.facts);
                let has_ca = !held.facts.ca.is_empty();
                out.file(&format!("{name}{file}.env"), |out| {
                    out.export("RESTIC_REPOSITORY", &with_login(held));
                    out.export("RESTIC_PASSWORD", held.repo_password.expose());
                    held.env.iter().for_each(|(name, value)| out.export(name, value.expose()));
                });
                if has_ca {
                    out.file(&format!("{name}{file}.pem"), |out| out.0.push_str(&held.facts.ca));
                }
                out.line("\nWrite what stands above into files:\n");
                out.fence(|out| {
                    out.assign("host", name);
                    out.line("umask 077");
                    out.extract(&format!("{file}.env"));
                    if has_ca {
                        out.extract(&format!("{file}.pem"));
                    }
                });
            }
        }
    }
}

/// The address as restic takes it: with user and password, where it is a REST server's.
fn with_login(held: &KitCredentials) -> Zeroizing<String> {
    let (user, password) = (&held.facts.username, held.password.expose());
    let url = &held.facts.url;
    let rest = url.strip_prefix("rest:").and_then(|rest| rest.split_once("://"));
    match rest {
        Some((scheme, rest)) if !user.is_empty() || !password.is_empty() => {
            let (user, password) = (percent_encoded(user), percent_encoded(password));
            Zeroizing::new(format!("rest:{scheme}://{}:{}@{rest}", *user, *password))
        }
        _ => Zeroizing::new(url.clone()),
    }
}

fn percent_encoded(text: &str) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(text.len() * 3));
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The text while it is written. It is wiped when it is let go.
struct Text(Zeroizing<String>);

impl Text {
    fn line(&mut self, text: &str) {
        self.0.push_str(text);
        self.0.push('\n');
    }

    /// A word that begins where the line stands now.
    fn word(&mut self, value: &str) {
        let column = self.0.rsplit('\n').next().map_or(0, |line| line.chars().count());
        let word = Zeroizing::new(shell_word(value.as_bytes(), column));
        self.0.push_str(&word);
    }

    fn fact(&mut self, name: &str, value: &str) {
        self.line(&format!("{name:<20} {}", visible(value, Breaks::Shown)));
    }

    fn fact_word(&mut self, name: &str, value: &str) {
        self.0.push_str(&format!("{name:<20} "));
        self.word(value);
        self.0.push('\n');
    }

    fn item(&mut self, value: &str) {
        self.0.push_str("  ");
        self.word(value);
        self.0.push('\n');
    }

    fn fence(&mut self, write: impl FnOnce(&mut Self)) {
        self.line("```");
        write(self);
        self.line("```");
    }

    fn assign(&mut self, name: &str, value: &str) {
        self.0.push_str(&format!("{name}="));
        self.word(value);
        self.0.push('\n');
    }

    fn export(&mut self, name: &str, value: &str) {
        self.assign(&format!("export {name}"), value);
    }

    fn file(&mut self, name: &str, write: impl FnOnce(&mut Self)) {
        self.line(&format!("\n# FILE {name}"));
        write(self);
        self.line(&format!("# END {name}"));
    }

    /// The command that writes such a file out of the text.
    fn extract(&mut self, file: &str) {
        self.line(&format!(
            "awk -v f=\"$host{file}\" '$0 == \"# FILE \" f, $0 == \"# END \" f' \\\n  {OPENED} > \"$host{file}\""
        ));
    }

    /// What is written into the files below, to be read.
    fn login(&mut self, held: &KitCredentials) {
        self.fact_word("Repository", &held.facts.url);
        if !held.facts.username.is_empty() {
            self.fact_word("User", &held.facts.username);
        }
        if !held.password.is_empty() {
            self.fact_word("Password", held.password.expose());
        }
        self.fact_word("Repository password", held.repo_password.expose());
    }

    /// What a storage of this kind needs besides.
    fn needs(&mut self, facts: &CredentialsFacts) {
        let url = &facts.url;
        if url.starts_with("sftp:") {
            self.line("\nThis storage is reached by ssh: your key must be let in there (ssh-copy-id).");
            let shown: Vec<String> = facts.host_keys.lines().filter_map(host_key_fingerprint).collect();
            if !shown.is_empty() {
                self.line("At the first connection ssh must show one of these keys:\n");
                shown.iter().for_each(|key| self.line(&format!("  {key}")));
            }
        } else if url.starts_with("rclone:") {
            self.line("\nThis storage is reached by rclone: its rclone.conf is not in this kit.");
        } else if !url.contains(':') || url.starts_with("local:") {
            self.line(
                "\nThis is a folder as the host itself sees it: mount its disk, or write the\naddress under which you reach it into the file below.",
            );
        }
    }

    fn command(&mut self, restic: &str, what: &str, filter: &[(&str, &str)], target: Option<&str>) {
        self.0.push_str(&format!("{restic} {what}"));
        for (option, value) in filter {
            self.0.push_str(&format!(" \\\n  {option} "));
            self.word(value);
        }
        if let Some(target) = target {
            self.0.push_str(" \\\n  --target \"./restored-$host\"/");
            self.word(target);
        }
        self.line(")");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::record::{Actor, Host, Origin, Secret};
    use std::collections::BTreeMap;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    const AT: Timestamp = Timestamp(1_795_415_472_000);
    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICFtrxhWjDF951LzoCci9l1s2HWVOkTsqsV930PsUvmt";
    const CA: &str = "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUE2Fu\n-----END CERTIFICATE-----\n";

    fn held(url: &str, facts: CredentialsFacts) -> KitCredentials {
        KitCredentials {
            facts: CredentialsFacts {
                url: url.to_owned(),
                revision: schema::SlotRevision(3),
                updated_at: AT,
                ..facts
            },
            password: Secret::new("p@ss/w:rd %"),
            repo_password: Secret::new("it's a \"secret\" of $HOME"),
            env: BTreeMap::from([("AWS_SECRET_ACCESS_KEY".to_owned(), Secret::new("x'y`id`$(id)"))]),
        }
    }

    fn kit(name: &str, everyday: KitSlot, admin: KitSlot, groups: Vec<Group>) -> KitHost {
        let host = Host {
            id: HostId([7; 16]),
            name: name.to_owned(),
            restic_host: name.to_owned(),
            labels: vec!["nas".to_owned()],
            created_at: AT,
            created_by: Actor::System,
            enrolled_at: None,
            facts: None,
            backups_held: None,
        };
        KitHost { host, groups, everyday, admin }
    }

    fn group(name: &str, includes: &[&str]) -> Group {
        let includes = includes.iter().map(|path| (*path).to_owned()).collect();
        Group { name: name.to_owned(), includes, ..Group::default() }
    }

    fn rest() -> KitSlot {
        let facts = CredentialsFacts { username: "attic".to_owned(), ..CredentialsFacts::default() };
        KitSlot::Held(held("rest:https://nas:8000/attic", facts))
    }

    fn hostile() -> KitHost {
        let long = "/srv/".to_owned() + &"long name ".repeat(20);
        let paths = [
            "/it's",
            "/a\n# FILE attic.env\nrm -rf /\n# END attic.env\n```\nHost x\n",
            "/$(id) `id` ${x} !! \\",
            "/\u{202e}gpj\u{200b}\u{1b}[2J",
            "-rf",
            &long,
        ];
        let hostname = "x'; id\n#".to_owned();
        let etc = Group {
            excludes: vec!["*.tmp".to_owned(), "it's*".to_owned()],
            origins: vec![Origin { hostname, tag: String::new() }],
            ..group("etc", &paths)
        };
        let ca = CredentialsFacts { ca: CA.to_owned(), ..CredentialsFacts::default() };
        let admin = KitSlot::Held(held("s3:https://minio.lan/attic", ca));
        kit("attic", rest(), admin, vec![etc, group("photos", &["/srv/photos"])])
    }

    /// A kit in which each kind of section stands once.
    fn everything() -> String {
        let folder = KitSlot::Held(held("/srv/restic/barn", CredentialsFacts::default()));
        let keys = CredentialsFacts { host_keys: format!("{KEY}\n"), ..CredentialsFacts::default() };
        let sftp = KitSlot::Held(held("sftp:me@nas:/srv/restic", keys));
        let lost = KitSlot::Unreadable(CredentialsFacts {
            url: "b2:cellar".to_owned(),
            ..CredentialsFacts::default()
        });
        let mut text = head(AT, 5);
        text.push_str(&host(&hostile()));
        text.push_str(&host(&kit("barn", folder, KitSlot::Empty, Vec::new())));
        text.push_str(&host(&kit("cellar", lost, KitSlot::Empty, Vec::new())));
        text.push_str(&host(&kit("shed", KitSlot::Empty, sftp, Vec::new())));
        text.push_str(&gone(HostId([9; 16])));
        text.push_str(&foot());
        text
    }

    #[test]
    fn the_text_is_as_it_was() {
        insta::assert_snapshot!("kit", everything());
    }

    #[test]
    fn nothing_is_wider_than_a_page_and_nothing_hides() {
        let longest = "h".repeat(63);
        let wide = kit(&longest, rest(), rest(), vec![group(&"g".repeat(63), &["/etc"])]);
        for text in [everything(), host(&wide).to_string()] {
            for line in text.lines() {
                assert!(line.chars().count() <= COLUMNS, "{line}");
                assert!(!line.chars().any(char::is_control), "{line:?}");
            }
        }
    }

    /// Only what stands between the marks is written into the file, whatever is named elsewhere, and a shell reads from it
    /// what was stored.
    #[test]
    fn a_shell_takes_the_variables_out_of_the_text_as_they_were_stored() {
        let folder = tempfile::tempdir().unwrap();
        let text = host(&hostile());
        std::fs::write(folder.path().join(OPENED), text.as_bytes()).unwrap();
        let fences: Vec<&str> = text.split("\n```\n").skip(1).step_by(2).collect();
        let writes: Vec<&str> = fences.iter().copied().filter(|fence| fence.contains("awk")).collect();
        assert_eq!(writes.len(), 2, "everyday, admin");
        let script = format!(
            "set -eu\n{}\nls -l\n(. \"./$host.env\"; printf '%s\\n' \"$RESTIC_REPOSITORY\" \"$RESTIC_PASSWORD\" \
             \"$AWS_SECRET_ACCESS_KEY\")\ncat \"$host+admin.pem\"\n",
            writes.join("\n")
        );
        let mut child = Command::new("sh")
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("there is a sh");
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{said}");
        for line in [
            "rest:https://attic:p%40ss%2Fw%3Ard%20%25@nas:8000/attic",
            "it's a \"secret\" of $HOME",
            "x'y`id`$(id)",
            "-----BEGIN CERTIFICATE-----",
        ] {
            assert!(said.lines().any(|said| said == line), "{line}: {said}");
        }
        assert_eq!(said.matches("-rw-------").count(), 3, "{said}");
        let env = std::fs::read_to_string(folder.path().join("attic.env")).unwrap();
        assert!(!env.contains("rm -rf"), "{env}");
    }
}
