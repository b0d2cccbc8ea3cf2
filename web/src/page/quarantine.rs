//! Two machines with the identity of one host: what is known of them, and the ways out.

use super::head::HostHead;
use crate::app::Ctx;
use crate::format::When;
use crate::problem::Problem;
use crate::template::View;
use axum::body::Body;
use axum::extract::Path;
use axum::http::Response;
use fleet::record::Twin;
use schema::Timestamp;
use serde::Serialize;

/// How many signs of an id tell two machines apart.
const ID_SIGNS: usize = 8;

/// One of the two machines.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TwinView {
    pub(crate) hostname: String,
    pub(crate) os: String,
    pub(crate) peer: String,
    pub(crate) seen: When,
    pub(crate) boot: String,
}

/// The page.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct QuarantineView {
    pub(crate) head: HostHead,
    pub(crate) since: Option<When>,
    pub(crate) twins: Vec<TwinView>,
    /// Whether the agent's state folder is the same on both: a copied disk or folder, not a folder moved and enrolled anew.
    pub(crate) same_state: bool,
    /// Whether both run on one machine.
    pub(crate) same_boot: bool,
}

impl View for QuarantineView {
    const TEMPLATE: &'static str = "page/quarantine.html";
    const NAV: &'static str = "fleet";
    const PARTS: &'static [&'static str] = &["host-presence"];
}

#[cfg(test)]
impl crate::sample::Samples for QuarantineView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        let twin = |boot| TwinView {
            hostname: s.text("boat-pi"),
            os: s.text("Debian GNU/Linux 12"),
            peer: s.text("192.0.2.7"),
            seen: s.when(),
            boot: s.text(boot),
        };
        let twins = [twin("03030303"), twin("aaaaaaaa")];
        [(twins.to_vec(), false), (twins.to_vec(), true), (Vec::new(), false)]
            .map(|(twins, same_boot)| {
                let (head, since) = (HostHead::sample(s), Some(s.when()));
                Self { head, since, twins, same_state: true, same_boot }
            })
            .into()
    }
}

fn twin(now: Timestamp, twin: &Twin) -> TwinView {
    let short = |bytes: &[u8]| {
        let mut text = data_encoding::HEXLOWER.encode(bytes);
        text.truncate(ID_SIGNS);
        text
    };
    TwinView {
        hostname: twin.hostname.clone(),
        os: twin.os.clone(),
        peer: twin.peer.clone(),
        seen: When::ago(now, twin.seen_at),
        boot: short(&twin.machine.boot_id),
    }
}

/// `GET /hosts/{host}/quarantine`.
pub(crate) async fn show(ctx: Ctx, Path(host): Path<String>) -> Result<Response<Body>, Problem> {
    ctx.read(move |ctx, state| {
        let (head, row) = HostHead::read(ctx, state, &host, "quarantine")?;
        let now = ctx.now();
        let found = row.presence.quarantine.as_ref();
        let installation = |twin: &Twin| twin.machine.installation;
        let is_same = |twins: &[Twin; 2]| installation(&twins[0]) == installation(&twins[1]);
        ctx.page(&QuarantineView {
            head,
            since: found.map(|found| When::ago(now, found.since)),
            same_boot: found.is_some_and(|found| found.twins[0].machine.is_of_boot(found.twins[1].machine)),
            same_state: found.is_some_and(|found| is_same(&found.twins)),
            twins: found.iter().flat_map(|found| &found.twins).map(|seen| twin(now, seen)).collect(),
        })
    })
    .await
}

/// `POST /hosts/{host}/quarantine`: lifts it.
pub(crate) async fn lift(ctx: Ctx, Path(host): Path<String>) -> Result<Response<Body>, Problem> {
    let host = ctx.find_host(&host).await?;
    ctx.app.fleet.lift_quarantine(host.id, ctx.by()).await?;
    Ok(ctx.go(&format!("/hosts/{}", host.id)))
}
