//! The addresses of the page: what is chosen, as a query.

use super::calendar::written;
use super::choices::{ALL, Choices, To};
use super::wanted::OpenPart;
use schema::{HostId, JobId};

/// An address that is longer than this is not gone on to: proxies refuse long ones.
pub(super) const MAX_ADDRESS: usize = 4_000;

pub(super) fn page_href(host: HostId) -> String {
    format!("/hosts/{host}/restore")
}

/// Where the choices of a restore, or of a dry run, are seen; of a dry run with what it has found.
pub(crate) fn plan_href(host: HostId, job: JobId) -> String {
    format!("{}?plan={job}", page_href(host))
}

/// Where all of the newest snapshot of a source group can be restored: to where it was, or into a new folder.
pub(crate) fn group_href(host: HostId, group: &str, in_place: bool) -> String {
    let choices = Choices {
        group: group.to_owned(),
        paths: [ALL.to_owned()].into(),
        to: if in_place { To::Original } else { To::New },
        ..Choices::default()
    };
    address(host, &choices, &OpenPart::Where)
}

/// Where these paths of a snapshot can be restored, and how many of them the address holds.
pub(crate) fn paths_href<'a>(
    host: HostId,
    snapshot: &str,
    paths: impl Iterator<Item = &'a str>,
) -> (String, usize) {
    let mut choices = Choices { snapshot: snapshot.to_owned(), ..Choices::default() };
    let (mut href, mut held) = (address(host, &choices, &OpenPart::Where), 0);
    for path in paths {
        choices.pick(path);
        let longer = address(host, &choices, &OpenPart::Where);
        if longer.len() > MAX_ADDRESS {
            break;
        }
        (href, held) = (longer, held + 1);
    }
    (href, held)
}

/// Where these choices are seen, with this part of the page open.
pub(super) fn address(host: HostId, choices: &Choices, open: &OpenPart) -> String {
    let mut query = form_urlencoded::Serializer::new(choices.query());
    match open {
        OpenPart::What(place) => {
            query.extend_pairs(place.at.iter().map(|at| ("at", at)));
            query.extend_pairs(place.cursor.iter().map(|cursor| ("cursor", cursor.to_string())));
            query.extend_pairs(place.month.map(|month| ("month", written(month))));
        }
        OpenPart::Where => {
            query.append_pair("step", "where");
        }
        OpenPart::Plan(job, _) => return plan_href(host, job.id),
    }
    let anchor = match open {
        OpenPart::What(place) if place.month.is_some() => "#month",
        OpenPart::What(_) => "#restore-files",
        _ => "",
    };
    format!("{}?{}{anchor}", page_href(host), query.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_as_many_paths_as_it_holds_and_says_how_many() {
        let host = HostId([1; 16]);
        let paths: Vec<String> = (0..100).map(|at| format!("/srv/{at}/{}", "x".repeat(90))).collect();
        let (few, held) = paths_href(host, "4d02a9f1", paths.iter().take(2).map(String::as_str));
        assert_eq!((held, few.matches("&path=").count()), (2, 2));
        let (many, held) = paths_href(host, "4d02a9f1", paths.iter().map(String::as_str));
        assert!(many.len() <= MAX_ADDRESS && (20..100).contains(&held), "{held}");
        assert_eq!(many.matches("&path=").count(), held);
    }
}
