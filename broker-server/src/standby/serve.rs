//! `serve --follow`: the life of a standby.

use super::{
    client::{self, Client},
    folder::{Following, StandbyFolder},
    follow::Follower,
    pages,
    trust::Trust,
};
use crate::{
    certificates, cli, clock,
    config::{Config, Source},
    control, http, out, platform,
    tls::Tls,
};
use anyhow::Context;
use fleet::{Pieces, Stand};
use rustix::process::Signal;
use std::{fs, io::ErrorKind, path::Path, sync::Arc, time::Duration};
use tokio::{signal::unix::SignalKind, sync::watch};
use web::TrustedProxies;

/// How often a server is asked for what is new, unless somebody says otherwise.
const EVERY: Duration = Duration::from_secs(300);

/// Follows until SIGTERM or SIGINT, or until `promote` takes over.
pub async fn until_signal(config: Config, options: cli::Follow, url: String) -> anyhow::Result<()> {
    let mut terminate = tokio::signal::unix::signal(SignalKind::terminate())?;
    let mut hang_up = tokio::signal::unix::signal(SignalKind::hangup())?;
    // A limit on the size of files is an error of the write that meets it, not the end of the program.
    let _too_large = tokio::signal::unix::signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))?;
    let listener = http::bind(config.http.value).await?;
    let address = listener.local_addr()?;
    let (speech, tls) = speech(&config)?;
    let data_dir = &config.data_dir.value;
    let folder = begin(data_dir)?;
    let Some(_lock) = folder.lock()? else {
        anyhow::bail!("another standby, or promote, works in {}", data_dir.display());
    };
    // It may have been promoted before the lock was free.
    begin(data_dir)?;
    let given = options.follow_authority.as_deref().map(client::read_authority).transpose()?;
    let before = folder.following()?.filter(|before| before.url == url);
    let trust = Trust::begin(given, before.map(|before| before.trust));
    let client = Client::new(&url, trust.authority.as_deref(), options.follow_plain)?;
    let addresses = match config.mqtt_public.source {
        Source::Default => Vec::new(),
        _ => config.mqtt_public.value.clone(),
    };
    let following = Following { url, trust, plain: options.follow_plain, addresses };
    folder.put_following(&following)?;
    let every = options.follow_every.unwrap_or(EVERY);
    let follower =
        Arc::new(Follower::new((following, every), client, folder, options.follow_token_file.clone())?);
    let socket = control::listen(data_dir).context("control socket")?;
    let (stop, stopped) = watch::channel(false);
    let router = pages::router(Arc::clone(&follower));
    let proxies = TrustedProxies::new(config.trusted_proxies.value.clone());
    let mut pages =
        tokio::spawn(http::serve(listener, speech, router, http::Limits::default(), proxies, stopped));
    out::line(format_args!("standby: recipient {}", follower.recipient))?;
    let follows = &follower.following.url;
    tracing::info!(http = %address, follows, recipient = follower.recipient, "following");
    let mut following = tokio::spawn(Arc::clone(&follower).run());
    platform::notify_systemd("READY=1");
    let handed_over = control::serve_standby(&socket);
    tokio::pin!(handed_over);
    let ended = loop {
        tokio::select! {
            _ = terminate.recv() => break Ok(()),
            _ = tokio::signal::ctrl_c() => break Ok(()),
            _ = hang_up.recv() => {
                if let Some(Err(error)) = tls.as_ref().map(|tls| tls.read_again(clock::now())) {
                    tracing::error!(%error, "the certificate in use stays the old one");
                }
            }
            () = &mut handed_over => {
                tracing::info!("promote takes over: this standby ends");
                break Ok(());
            }
            ended = &mut pages => break ended.context("the HTTP listener ended"),
            ended = &mut following => break ended.context("following ended"),
        }
    };
    tracing::info!("stopping");
    platform::notify_systemd("STOPPING=1");
    if !following.is_finished() {
        following.abort();
        let _ = following.await;
    }
    let _ = stop.send(true);
    let _ = fs::remove_file(control::socket_path(data_dir));
    ended
}

/// The folder of a standby: an empty data folder becomes one, a server's does not, nor one in which something else lies.
pub(super) fn begin(data_dir: &Path) -> anyhow::Result<StandbyFolder> {
    let folder = StandbyFolder::of(data_dir);
    match Pieces::from(data_dir).look() {
        Ok(Stand::New) | Err(fleet::OpenError::Standby { .. }) => {}
        Err(why) => return Err(why.into()),
        Ok(_) if folder.is_there()? => anyhow::bail!(
            "{} was promoted: it is the server now; start it without --follow",
            data_dir.display()
        ),
        Ok(_) => anyhow::bail!(
            "{} holds a server: a standby wants a folder of its own, which is empty at its first start",
            data_dir.display()
        ),
    }
    if !folder.is_there()?
        && let Some(found) = first_of(data_dir)?
    {
        anyhow::bail!(
            "{} is not empty ({found} is in it): a standby wants a folder of its own, which is empty at its first start",
            data_dir.display()
        );
    }
    folder.make()?;
    Ok(folder)
}

/// The first by name of what is in a folder; `None` = it is empty, or not there.
fn first_of(folder: &Path) -> anyhow::Result<Option<String>> {
    let named = || folder.display().to_string();
    let entries = match fs::read_dir(folder) {
        Err(why) if why.kind() == ErrorKind::NotFound => return Ok(None),
        entries => entries.with_context(named)?,
    };
    let names = entries.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()));
    let names = names.collect::<Result<Vec<_>, _>>().with_context(named)?;
    // A file system of its own has this in it.
    Ok(names.into_iter().filter(|name| name != "lost+found").min())
}

/// A standby has no authority, and so no certificate but one that is brought.
fn speech(config: &Config) -> anyhow::Result<(http::Speech, Option<Tls>)> {
    let public_url = config.public_url.value.clone();
    let tls = match certificates::options_for_pages(config) {
        Some(options) => Some(Tls::open(options, clock::now()).context("certificate of the pages")?),
        None if config.http_tls.value => anyhow::bail!(
            "a standby has no certificate of its own: bring one for its page with --http-tls-certificate, or leave --http-tls out"
        ),
        None => None,
    };
    let spoken = tls.as_ref().map(|tls| tls.config_for(&[b"http/1.1"])).transpose();
    let speech = http::Speech { tls: spoken.context("certificate of the pages")?, public_url };
    Ok((speech, tls))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standby_begins_in_an_empty_folder_and_goes_on_in_its_own() {
        let scratch = tempfile::tempdir().unwrap();
        let refused = |data_dir: &Path| begin(data_dir).unwrap_err().to_string();
        let new = scratch.path().join("new");
        begin(&new).unwrap();
        fs::write(new.join("certificate.pem"), "x").unwrap();
        begin(&new).unwrap();
        // What somebody else has there would lie beside a server, or be taken for a part of one.
        let full = scratch.path().join("full");
        for name in ["b.txt", "a.txt"] {
            fs::create_dir_all(&full).unwrap();
            fs::write(full.join(name), "x").unwrap();
        }
        let why = refused(&full);
        assert!(why.contains("is not empty (a.txt is in it)"), "{why}");
        assert!(!full.join("standby").exists(), "it is left as it was");
        // A promotion that did not end goes on; nothing is followed there.
        fs::write(new.join("restore-begun"), "x").unwrap();
        let why = refused(&new);
        assert!(why.contains("did not end: run holdfast-server promote"), "{why}");
    }
}
