//! Making a feed: the one core behind the page and the API.

use crate::app::Ctx;
use crate::feed::AskedFeed;
use crate::problem::Problem;
use fleet::NewFeed;
use fleet::record::{FeedKind, FeedOf};

/// Makes it, and answers its name and its address, which is known here and now only.
pub(crate) async fn add(ctx: &Ctx, asked: AskedFeed) -> Result<(String, String), Problem> {
    let AskedFeed { name, kind, label, host, names } = asked;
    let kind = FeedKind::ALL.into_iter().find(|known| known.as_str() == kind);
    let kind = kind.ok_or_else(|| Problem::invalid("kind", "A feed is a status, a badge or a calendar."))?;
    let of = match (label, host) {
        (None, None) => FeedOf::Fleet,
        (Some(label), None) => FeedOf::Label(label),
        (None, Some(host)) => {
            let found = ctx.read(move |ctx, state| Ok(ctx.host(state, &host).map(|host| host.id))).await?;
            FeedOf::Host(found.map_err(|_| Problem::invalid("host", "There is no such host."))?)
        }
        (Some(_), Some(_)) => {
            return Err(Problem::invalid("host", "A feed is of a label or of a host, not of both."));
        }
    };
    let key = ctx.app.fleet.add_feed(NewFeed { name: name.clone(), kind, of, names }, ctx.by()).await?;
    let url = format!("{}/feeds/{}/{}", ctx.app.settings.public_url, key.expose(), kind.file());
    Ok((name, url))
}
