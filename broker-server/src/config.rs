//! Settings: flag, then `HOLDFAST_…` variable, then TOML file, then default; and where each came from.

use ipnet::IpNet;
use schema::{
    address,
    limits::{MAX_ADDRESS_BYTES, MAX_ADDRESSES},
};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

/// The settings of the server, each with where it comes from.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the data file, the master key and the certificates live.
    pub data_dir: Setting<PathBuf>,
    /// The master key, when it is not in the data folder.
    pub master_key_file: Setting<Option<PathBuf>>,
    /// Where pages and API are served.
    pub http: Setting<SocketAddr>,
    /// Whether they are served with TLS.
    pub http_tls: Setting<bool>,
    /// A certificate chain (PEM) for the pages, with its key, instead of the one that agents get.
    pub http_tls_certificate: Setting<Option<PathBuf>>,
    /// The key of that.
    pub http_tls_key: Setting<Option<PathBuf>>,
    /// Where agents connect, with TLS.
    pub mqtt: Setting<SocketAddr>,
    /// Where MQTT tools connect without TLS; loopback. `None` = nowhere.
    pub mqtt_plain: Setting<Option<SocketAddr>>,
    /// What agents dial, in the order in which they try, see [`schema::address`]; written into plans and tokens.
    pub mqtt_public: Setting<Vec<String>>,
    /// What browsers open, without a slash at the end; written into links.
    pub public_url: Setting<String>,
    /// Reverse proxies whose word about the client's address is believed.
    pub trusted_proxies: Setting<Vec<IpNet>>,
    /// Further names and addresses for the server's certificate.
    pub tls_names: Setting<Vec<String>>,
    /// A certificate chain (PEM) of the operator's own, with its key, instead of one of the server's authority.
    pub tls_certificate: Setting<Option<PathBuf>>,
    /// The key of that.
    pub tls_key: Setting<Option<PathBuf>>,
    /// How many MQTT connections at once.
    pub max_connections: Setting<usize>,
    /// How many of view accounts among them.
    pub max_viewers: Setting<usize>,
    /// How many of one view account.
    pub max_viewers_per_account: Setting<usize>,
    /// How long jobs and logs are kept, in days.
    pub keep_jobs_days: Setting<u32>,
    /// What the jobs and logs of one host may take of the data file, in MiB.
    pub host_share_mib: Setting<u64>,
    /// Where the server puts the archives that it makes of itself.
    pub archive_dir: Setting<PathBuf>,
    /// How many of them are kept.
    pub archives_kept: Setting<usize>,
    /// Programs by which notices can be told, each as `NAME=FILE`.
    pub notice_scripts: Setting<Vec<String>>,
    /// How logs look.
    pub log: Setting<LogFormat>,
}

/// A value, and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value that is used.
    pub value: T,
    /// Where the value comes from.
    pub source: Source,
}

/// Where a setting came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The command line.
    Flag,
    /// A variable of the environment.
    Environment,
    /// The configuration file.
    File,
    /// Nobody said otherwise.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flag => "flag",
            Self::Environment => "environment",
            Self::File => "file",
            Self::Default => "default",
        })
    }
}

/// How logs look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines of text for people.
    Text,
    /// A JSON object a line.
    Json,
}

/// One layer of settings, all optional: what flags, the environment and the file give alike.
#[derive(Clone, Debug, Default, Deserialize, clap::Args)]
#[serde(deny_unknown_fields, default)]
pub struct Layer {
    /// Folder of the data file, the master key and the certificates
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Master key, when it is not in the data folder: 64 hexadecimal digits, as a service manager hands over a secret
    #[arg(long, value_name = "FILE")]
    pub master_key_file: Option<PathBuf>,
    /// Address of pages and API; without --http-tls loopback, or where a --trusted-proxy asks [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR:PORT")]
    pub http: Option<SocketAddr>,
    /// Serve pages and API with TLS: with the certificate that agents get, or one of --http-tls-certificate
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub http_tls: Option<bool>,
    /// Certificate chain (PEM) for pages and API; read again when it changes, and at SIGHUP
    #[arg(long, value_name = "FILE", requires = "http_tls_key")]
    pub http_tls_certificate: Option<PathBuf>,
    /// Private key (PEM) of that certificate
    #[arg(long, value_name = "FILE", requires = "http_tls_certificate")]
    pub http_tls_key: Option<PathBuf>,
    /// Address for agents, MQTT over TLS [default: 0.0.0.0:8883]
    #[arg(long, value_name = "ADDR:PORT")]
    pub mqtt: Option<SocketAddr>,
    /// Loopback address for MQTT tools, without TLS; "off" for none [default: 127.0.0.1:1883]
    #[arg(long, value_name = "ADDR:PORT|off")]
    pub mqtt_plain: Option<String>,
    /// What agents dial: host:port, an IPv6 address in brackets; may be given more than once, in the order in which they
    /// are tried [default: this machine's name and the port of --mqtt]
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    #[serde(deserialize_with = "one_or_several")]
    pub mqtt_public: Option<Vec<String>>,
    /// What browsers open [default: http:// or https:// and the address of --http, or this machine's name]
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// Reverse proxy whose X-Forwarded-For is believed: address or network; may be given more than once
    #[arg(long = "trusted-proxy", value_name = "ADDR[/BITS]")]
    #[serde(alias = "trusted_proxy")]
    pub trusted_proxies: Option<Vec<String>>,
    /// Further names or addresses for the server's certificate; may be given more than once
    #[arg(long = "tls-name", value_name = "NAME")]
    #[serde(alias = "tls_name")]
    pub tls_names: Option<Vec<String>>,
    /// Certificate chain (PEM) of your own, instead of one of the server's authority
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_certificate: Option<PathBuf>,
    /// Private key (PEM) of that certificate
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    pub tls_key: Option<PathBuf>,
    /// MQTT connections at once, at most [default: 12000]
    #[arg(long, value_name = "N")]
    pub max_connections: Option<usize>,
    /// MQTT connections of view accounts among them, at most [default: 256]
    #[arg(long, value_name = "N")]
    pub max_viewers: Option<usize>,
    /// MQTT connections of one view account, at most [default: 16]
    #[arg(long, value_name = "N")]
    pub max_viewers_per_account: Option<usize>,
    /// How long jobs and their logs are kept, in days after their end [default: 400]
    #[arg(long, value_name = "DAYS")]
    pub keep_jobs_days: Option<u32>,
    /// What the jobs and logs of one host may take of the data file, in MiB; the oldest go [default: 256]
    #[arg(long, value_name = "MIB")]
    pub host_share_mib: Option<u64>,
    /// Folder of the archives that the server makes of itself [default: backups in the data folder]
    #[arg(long, value_name = "DIR")]
    pub archive_dir: Option<PathBuf>,
    /// So many of these archives are kept, the newest ones [default: 7]
    #[arg(long, value_name = "N")]
    pub archives_kept: Option<usize>,
    /// Program by which notices can be told, which gets them on its standard input; may be given more than once
    #[arg(long = "notice-script", value_name = "NAME=FILE")]
    #[serde(alias = "notice_script")]
    pub notice_scripts: Option<Vec<String>>,
    /// How logs look [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub log: Option<LogFormat>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// Path of the configuration file.
        path: PathBuf,
        /// The operating system's error.
        #[source]
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("{} is not a valid configuration", path.display())]
    Malformed {
        /// Path of the configuration file.
        path: PathBuf,
        /// The place in the file, and what is wrong there.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A setting makes no sense.
    #[error("{name} = {value:?} ({from}): {problem}")]
    Invalid {
        /// Name of the setting.
        name: &'static str,
        /// The value that can't be used.
        value: String,
        /// Where it came from.
        from: Source,
        /// What is wrong with the value.
        problem: &'static str,
    },
    /// One that must be given is not.
    #[error("--data-dir is missing: name the folder that holds the server's data")]
    NoDataDir,
}

impl Layer {
    /// Reads a configuration file.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        toml::from_str(&text)
            .map_err(|source| ConfigError::Malformed { path: path.to_owned(), source: Box::new(source) })
    }

    /// Reads the `HOLDFAST_…` variables, which `get` looks up.
    pub fn from_environment(get: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        fn parsed<T: std::str::FromStr>(
            name: &'static str,
            value: Option<String>,
            problem: &'static str,
        ) -> Result<Option<T>, ConfigError> {
            let Some(value) = value else { return Ok(None) };
            match value.parse() {
                Ok(parsed) => Ok(Some(parsed)),
                Err(_) => Err(ConfigError::Invalid { name, value, from: Source::Environment, problem }),
            }
        }
        const NUMBER: &str = "must be a whole number";
        const ADDRESS: &str = "must be an address and a port, such as 127.0.0.1:8080";
        let log = match get("HOLDFAST_LOG") {
            None => None,
            Some(value) => match <LogFormat as clap::ValueEnum>::from_str(&value, true) {
                Ok(format) => Some(format),
                Err(_) => {
                    return Err(ConfigError::Invalid {
                        name: "HOLDFAST_LOG",
                        value,
                        from: Source::Environment,
                        problem: "must be text or json",
                    });
                }
            },
        };
        Ok(Self {
            data_dir: get("HOLDFAST_DATA_DIR").map(PathBuf::from),
            master_key_file: get("HOLDFAST_MASTER_KEY_FILE").map(PathBuf::from),
            http: parsed("HOLDFAST_HTTP", get("HOLDFAST_HTTP"), ADDRESS)?,
            http_tls: parsed("HOLDFAST_HTTP_TLS", get("HOLDFAST_HTTP_TLS"), "must be true or false")?,
            http_tls_certificate: get("HOLDFAST_HTTP_TLS_CERTIFICATE").map(PathBuf::from),
            http_tls_key: get("HOLDFAST_HTTP_TLS_KEY").map(PathBuf::from),
            mqtt: parsed("HOLDFAST_MQTT", get("HOLDFAST_MQTT"), ADDRESS)?,
            mqtt_plain: get("HOLDFAST_MQTT_PLAIN"),
            mqtt_public: get("HOLDFAST_MQTT_PUBLIC").map(|text| list(&text)),
            public_url: get("HOLDFAST_PUBLIC_URL"),
            trusted_proxies: get("HOLDFAST_TRUSTED_PROXIES").map(|text| list(&text)),
            tls_names: get("HOLDFAST_TLS_NAMES").map(|text| list(&text)),
            tls_certificate: get("HOLDFAST_TLS_CERTIFICATE").map(PathBuf::from),
            tls_key: get("HOLDFAST_TLS_KEY").map(PathBuf::from),
            max_connections: parsed("HOLDFAST_MAX_CONNECTIONS", get("HOLDFAST_MAX_CONNECTIONS"), NUMBER)?,
            max_viewers: parsed("HOLDFAST_MAX_VIEWERS", get("HOLDFAST_MAX_VIEWERS"), NUMBER)?,
            max_viewers_per_account: parsed(
                "HOLDFAST_MAX_VIEWERS_PER_ACCOUNT",
                get("HOLDFAST_MAX_VIEWERS_PER_ACCOUNT"),
                NUMBER,
            )?,
            keep_jobs_days: parsed("HOLDFAST_KEEP_JOBS_DAYS", get("HOLDFAST_KEEP_JOBS_DAYS"), NUMBER)?,
            host_share_mib: parsed("HOLDFAST_HOST_SHARE_MIB", get("HOLDFAST_HOST_SHARE_MIB"), NUMBER)?,
            archive_dir: get("HOLDFAST_ARCHIVE_DIR").map(PathBuf::from),
            archives_kept: parsed("HOLDFAST_ARCHIVES_KEPT", get("HOLDFAST_ARCHIVES_KEPT"), NUMBER)?,
            notice_scripts: get("HOLDFAST_NOTICE_SCRIPTS").map(|text| list(&text)),
            log,
        })
    }
}

/// The layers, strongest first.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// Settings given on the command line.
    pub flags: Layer,
    /// Settings given in the environment.
    pub environment: Layer,
    /// The configuration file.
    pub file: Layer,
    /// This machine's name, for defaults.
    pub hostname: String,
}

impl Layers {
    /// What is in force.
    pub fn resolve(&self) -> Result<Config, ConfigError> {
        let http = self.pick(|layer| layer.http, || local(8080));
        let mqtt = self.pick(|layer| layer.mqtt, || SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8883)));
        let plain = self.pick(|layer| layer.mqtt_plain.clone(), || "127.0.0.1:1883".to_owned());
        let dialled = if mqtt.value.ip().is_unspecified() && !self.hostname.is_empty() {
            format!("{}:{}", self.hostname, mqtt.value.port())
        } else {
            mqtt.value.to_string()
        };
        let data_dir = self.pick_optional(|layer| layer.data_dir.clone());
        let data_dir =
            Setting { value: data_dir.value.ok_or(ConfigError::NoDataDir)?, source: data_dir.source };
        // What came with an archive, from where it was on the machine of before.
        let brought = |settings: [Setting<Option<PathBuf>>; 2], names: [&str; 2]| {
            let paths = names.map(|name| data_dir.value.join("brought").join(name));
            if settings.iter().any(|setting| setting.value.is_some())
                || !paths.iter().all(|path| path.is_file())
            {
                return settings;
            }
            paths.map(|path| Setting { value: Some(path), source: Source::Default })
        };
        let [tls_certificate, tls_key] = brought(
            [
                self.pick_optional(|layer| layer.tls_certificate.clone()),
                self.pick_optional(|layer| layer.tls_key.clone()),
            ],
            ["certificate.pem", "key.pem"],
        );
        let [http_tls_certificate, http_tls_key] = brought(
            [
                self.pick_optional(|layer| layer.http_tls_certificate.clone()),
                self.pick_optional(|layer| layer.http_tls_key.clone()),
            ],
            ["pages-certificate.pem", "pages-key.pem"],
        );
        // Who brings a certificate wants it used.
        let http_tls = self.pick(|layer| layer.http_tls, || http_tls_certificate.value.is_some());
        let scheme = if http_tls.value { "https" } else { "http" };
        let proxies = self.pick(|layer| layer.trusted_proxies.clone(), Vec::new);
        let archive_dir = self.pick(|layer| layer.archive_dir.clone(), || data_dir.value.join("backups"));
        let config = Config {
            data_dir,
            archive_dir,
            archives_kept: self.pick(|layer| layer.archives_kept, || 7),
            notice_scripts: self.pick(|layer| layer.notice_scripts.clone(), Vec::new),
            master_key_file: self.pick_optional(|layer| layer.master_key_file.clone()),
            mqtt_plain: Setting { value: plain_address(&plain)?, source: plain.source },
            mqtt_public: self.pick(|layer| layer.mqtt_public.clone(), || vec![dialled]),
            public_url: self.pick(
                |layer| layer.public_url.as_ref().map(|url| url.trim_end_matches('/').to_owned()),
                || format!("{scheme}://{}", self.opened(http.value)),
            ),
            trusted_proxies: Setting { value: networks(&proxies)?, source: proxies.source },
            tls_names: self.pick(|layer| layer.tls_names.clone(), Vec::new),
            tls_certificate,
            tls_key,
            max_connections: self.pick(|layer| layer.max_connections, || 12_000),
            max_viewers: self.pick(|layer| layer.max_viewers, || 256),
            max_viewers_per_account: self.pick(|layer| layer.max_viewers_per_account, || 16),
            keep_jobs_days: self.pick(|layer| layer.keep_jobs_days, || 400),
            host_share_mib: self.pick(|layer| layer.host_share_mib, || 256),
            log: self.pick(|layer| layer.log, || LogFormat::Text),
            http,
            http_tls,
            http_tls_certificate,
            http_tls_key,
            mqtt,
        };
        config.check()?;
        Ok(config)
    }

    /// Where browsers on other machines find a listener on `bound`: at all addresses, by this machine's name.
    fn opened(&self, bound: SocketAddr) -> String {
        if bound.ip().is_unspecified() && !self.hostname.is_empty() {
            format!("{}:{}", self.hostname, bound.port())
        } else {
            reachable(bound).to_string()
        }
    }

    fn pick_optional<T>(&self, of: impl Fn(&Layer) -> Option<T>) -> Setting<Option<T>> {
        let layers = [
            (&self.flags, Source::Flag),
            (&self.environment, Source::Environment),
            (&self.file, Source::File),
        ];
        for (layer, source) in layers {
            if let Some(value) = of(layer) {
                return Setting { value: Some(value), source };
            }
        }
        Setting { value: None, source: Source::Default }
    }

    fn pick<T>(&self, of: impl Fn(&Layer) -> Option<T>, default: impl FnOnce() -> T) -> Setting<T> {
        let picked = self.pick_optional(of);
        Setting { value: picked.value.unwrap_or_else(default), source: picked.source }
    }
}

impl Config {
    fn check(&self) -> Result<(), ConfigError> {
        let invalid = |name, value: &str, from: &Source, problem| {
            Err(ConfigError::Invalid { name, value: value.to_owned(), from: from.clone(), problem })
        };
        let public = &self.mqtt_public;
        // A port that the system is to choose is nobody's to dial, and only known later.
        let is_given = public.source != Source::Default;
        if let Some(address) = public.value.iter().find(|address| is_given && !is_address(address)) {
            let problem = "must be host:port, an IPv6 address in brackets, such as [2001:db8::1]:8883";
            return invalid("mqtt-public", address, &public.source, problem);
        }
        let is_nowhere = |address: &String| {
            let host = address::split(address).map_or("", |(host, _)| host);
            host.contains('*') || host.parse::<IpAddr>().is_ok_and(|host| host.is_unspecified())
        };
        if let Some(address) = public.value.iter().find(|address| is_given && is_nowhere(address)) {
            let problem = "leads nowhere: agents dial it, so it is a name or an address of this machine";
            return invalid("mqtt-public", address, &public.source, problem);
        }
        let is_again = |(at, address): (usize, &String)| {
            public.value[..at].iter().any(|before| before.eq_ignore_ascii_case(address))
        };
        if !(1..=MAX_PUBLIC).contains(&public.value.len()) || public.value.iter().enumerate().any(is_again) {
            let problem = "must be one to four different addresses";
            return invalid("mqtt-public", &public.value.join(","), &public.source, problem);
        }
        let scripts = &self.notice_scripts;
        let is_script = |text: &String| {
            script(text).is_some_and(|(name, file)| schema::name::is_valid(name) && file.is_absolute())
        };
        if let Some(text) = scripts.value.iter().find(|text| !is_script(text)) {
            let problem =
                "must be a name, = and the absolute path of a program, such as pager=/usr/local/bin/pager";
            return invalid("notice-script", text, &scripts.source, problem);
        }
        if self.scripts().len() != scripts.value.len() {
            let problem = "must be different names";
            return invalid("notice-script", &scripts.value.join(","), &scripts.source, problem);
        }
        let url = &self.public_url;
        if !(url.value.starts_with("http://") || url.value.starts_with("https://")) {
            return invalid("public-url", &url.value, &url.source, "must begin with http:// or https://");
        }
        self.check_http()?;
        let names = &self.tls_names;
        let is_name = |name: &str| !name.is_empty() && !name.contains([' ', '/', ',']) && name.is_ascii();
        if let Some(name) = names.value.iter().find(|name| !is_name(name)) {
            let problem = "must be the name of a machine or its address, one for each --tls-name";
            return invalid("tls-name", name, &names.source, problem);
        }
        if self.tls_certificate.value.is_some() != self.tls_key.value.is_some() {
            return invalid(
                "tls-certificate",
                "",
                &self.tls_certificate.source,
                "goes together with tls-key",
            );
        }
        if self.max_connections.value == 0 {
            return invalid("max-connections", "0", &self.max_connections.source, "must be at least 1");
        }
        for (name, setting) in
            [("max-viewers", &self.max_viewers), ("max-viewers-per-account", &self.max_viewers_per_account)]
        {
            if !(1..=MAX_VIEWERS).contains(&setting.value) {
                let value = setting.value.to_string();
                return invalid(name, &value, &setting.source, "must be between 1 and 4096");
            }
        }
        if self.keep_jobs_days.value == 0 {
            return invalid("keep-jobs-days", "0", &self.keep_jobs_days.source, "must be at least 1");
        }
        if self.host_share_mib.value == 0 {
            return invalid("host-share-mib", "0", &self.host_share_mib.source, "must be at least 1");
        }
        if self.archives_kept.value == 0 {
            return invalid("archives-kept", "0", &self.archives_kept.source, "must be at least 1");
        }
        Ok(())
    }
}

impl Config {
    /// Passwords and tokens must not pass in clear where others listen.
    fn check_http(&self) -> Result<(), ConfigError> {
        let invalid = |name, value: String, from: &Source, problem| {
            Err(ConfigError::Invalid { name, value, from: from.clone(), problem })
        };
        let (http, tls) = (&self.http, &self.http_tls);
        let is_here = http.value.ip().to_canonical().is_loopback();
        if !is_here && !tls.value && self.trusted_proxies.value.is_empty() {
            return invalid(
                "http",
                http.value.to_string(),
                &http.source,
                "goes without encryption, and passwords would pass in clear: add --http-tls, or name the reverse proxy \
                 that asks there with --trusted-proxy, or choose a loopback address such as 127.0.0.1:8080",
            );
        }
        let (certificate, key) = (&self.http_tls_certificate, &self.http_tls_key);
        let path =
            |path: &Option<PathBuf>| path.as_ref().map(|p| p.display().to_string()).unwrap_or_default();
        if certificate.value.is_some() != key.value.is_some() {
            let (name, other) = match certificate.value {
                Some(_) => ("http-tls-certificate", "goes together with http-tls-key"),
                None => ("http-tls-key", "goes together with http-tls-certificate"),
            };
            let source = if certificate.value.is_some() { &certificate.source } else { &key.source };
            let value = path(if certificate.value.is_some() { &certificate.value } else { &key.value });
            return invalid(name, value, source, other);
        }
        if certificate.value.is_some() && !tls.value {
            return invalid(
                "http-tls",
                "false".to_owned(),
                &tls.source,
                "contradicts http-tls-certificate: leave one of the two away",
            );
        }
        let url = &self.public_url;
        if tls.value && !url.value.starts_with("https://") {
            return invalid(
                "public-url",
                url.value.clone(),
                &url.source,
                "must begin with https://, for the pages are served with TLS",
            );
        }
        Ok(())
    }
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line =
            |name: &str, value: String, source: &Source| writeln!(f, "{name:<23} {value:<32} {source}");
        let path =
            |path: &Option<PathBuf>| path.as_ref().map_or("none".to_owned(), |p| p.display().to_string());
        line("data-dir", self.data_dir.value.display().to_string(), &self.data_dir.source)?;
        line("master-key-file", path(&self.master_key_file.value), &self.master_key_file.source)?;
        line("http", self.http.value.to_string(), &self.http.source)?;
        line("http-tls", self.http_tls.value.to_string(), &self.http_tls.source)?;
        line(
            "http-tls-certificate",
            path(&self.http_tls_certificate.value),
            &self.http_tls_certificate.source,
        )?;
        line("http-tls-key", path(&self.http_tls_key.value), &self.http_tls_key.source)?;
        line("mqtt", self.mqtt.value.to_string(), &self.mqtt.source)?;
        let plain = self.mqtt_plain.value.map_or("off".to_owned(), |address| address.to_string());
        line("mqtt-plain", plain, &self.mqtt_plain.source)?;
        line("mqtt-public", self.mqtt_public.value.join(","), &self.mqtt_public.source)?;
        line("public-url", self.public_url.value.clone(), &self.public_url.source)?;
        let proxies: Vec<_> = self.trusted_proxies.value.iter().map(ToString::to_string).collect();
        line("trusted-proxy", proxies.join(","), &self.trusted_proxies.source)?;
        line("tls-name", self.tls_names.value.join(","), &self.tls_names.source)?;
        line("tls-certificate", path(&self.tls_certificate.value), &self.tls_certificate.source)?;
        line("tls-key", path(&self.tls_key.value), &self.tls_key.source)?;
        line("max-connections", self.max_connections.value.to_string(), &self.max_connections.source)?;
        line("max-viewers", self.max_viewers.value.to_string(), &self.max_viewers.source)?;
        line(
            "max-viewers-per-account",
            self.max_viewers_per_account.value.to_string(),
            &self.max_viewers_per_account.source,
        )?;
        line("keep-jobs-days", self.keep_jobs_days.value.to_string(), &self.keep_jobs_days.source)?;
        line("host-share-mib", self.host_share_mib.value.to_string(), &self.host_share_mib.source)?;
        line("archive-dir", self.archive_dir.value.display().to_string(), &self.archive_dir.source)?;
        line("archives-kept", self.archives_kept.value.to_string(), &self.archives_kept.source)?;
        line("notice-script", self.notice_scripts.value.join(","), &self.notice_scripts.source)?;
        line("log", format!("{:?}", self.log.value).to_lowercase(), &self.log.source)
    }
}

impl Config {
    /// The programs by which notices can be told, by name.
    #[must_use]
    pub fn scripts(&self) -> BTreeMap<String, PathBuf> {
        let all = self.notice_scripts.value.iter().filter_map(|text| script(text));
        all.map(|(name, file)| (name.to_owned(), file.to_owned())).collect()
    }

    /// The settings that somebody gave, as a settings file: what another machine would be given to be the same server,
    /// and what agents dial in any case. Where the data lies is left out, and so are the master key and the certificates: they
    /// come in the data folder, where they are found without being named.
    #[must_use]
    pub fn given(&self) -> toml::Table {
        let mut table = toml::Table::new();
        let mut put = |name: &str, value: toml::Value, source: &Source| {
            if *source != Source::Default {
                table.insert(name.to_owned(), value);
            }
        };
        let text = |text: &dyn fmt::Display| toml::Value::String(text.to_string());
        let number = |number: u64| toml::Value::Integer(i64::try_from(number).unwrap_or(i64::MAX));
        let list = |all: Vec<String>| all.into_iter().map(toml::Value::String).collect::<Vec<_>>().into();
        put("http", text(&self.http.value), &self.http.source);
        put("http_tls", self.http_tls.value.into(), &self.http_tls.source);
        put("mqtt", text(&self.mqtt.value), &self.mqtt.source);
        let plain = self.mqtt_plain.value.map_or("off".to_owned(), |address| address.to_string());
        put("mqtt_plain", plain.into(), &self.mqtt_plain.source);
        // By default these are this machine's own name, and another one has another.
        let public = match self.mqtt_public.value.as_slice() {
            [only] => text(only),
            several => list(several.to_vec()),
        };
        let known = if self.mqtt_public.value.is_empty() { &Source::Default } else { &Source::File };
        put("mqtt_public", public, known);
        put("public_url", text(&self.public_url.value), &self.public_url.source);
        let proxies = self.trusted_proxies.value.iter().map(ToString::to_string).collect();
        put("trusted_proxies", list(proxies), &self.trusted_proxies.source);
        put("tls_names", list(self.tls_names.value.clone()), &self.tls_names.source);
        put("notice_scripts", list(self.notice_scripts.value.clone()), &self.notice_scripts.source);
        put("archive_dir", text(&self.archive_dir.value.display()), &self.archive_dir.source);
        for (name, value, source) in [
            ("max_connections", self.max_connections.value as u64, &self.max_connections.source),
            ("max_viewers", self.max_viewers.value as u64, &self.max_viewers.source),
            (
                "max_viewers_per_account",
                self.max_viewers_per_account.value as u64,
                &self.max_viewers_per_account.source,
            ),
            ("keep_jobs_days", u64::from(self.keep_jobs_days.value), &self.keep_jobs_days.source),
            ("host_share_mib", self.host_share_mib.value, &self.host_share_mib.source),
            ("archives_kept", self.archives_kept.value as u64, &self.archives_kept.source),
        ] {
            put(name, number(value), source);
        }
        put("log", format!("{:?}", self.log.value).to_lowercase().into(), &self.log.source);
        table
    }
}

/// The name and the program of `NAME=FILE`.
fn script(text: &str) -> Option<(&str, &Path)> {
    text.split_once('=').map(|(name, file)| (name, Path::new(file)))
}

/// The address under which this machine itself reaches a listener on `bound`.
#[must_use]
pub fn reachable(bound: SocketAddr) -> SocketAddr {
    if bound.ip().is_unspecified() { local(bound.port()) } else { bound }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// The entries of a variable that holds several.
fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(str::to_owned).collect()
}

/// A text of addresses with commas between them, or a list of them.
fn one_or_several<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<Vec<String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrSeveral {
        Text(String),
        List(Vec<String>),
    }
    Ok(Some(match OneOrSeveral::deserialize(value)? {
        OneOrSeveral::Text(text) => list(&text),
        OneOrSeveral::List(addresses) => addresses,
    }))
}

/// Whether agents can dial it: what is in brackets is an address of IPv6, anything else a name or an address of IPv4.
fn is_address(text: &str) -> bool {
    let is_v6 = |host: &str| host.parse::<Ipv6Addr>().is_ok();
    let is_whole = |host: &str| if text.starts_with('[') { is_v6(host) } else { !host.contains([':', '/']) };
    text.len() <= MAX_ADDRESS_BYTES && address::split(text).is_some_and(|(host, _)| is_whole(host))
}

/// The most addresses in the settings: as many again may retire.
const MAX_PUBLIC: usize = MAX_ADDRESSES / 2;

/// The most viewers: each has buffers of some 50 KB in the router.
const MAX_VIEWERS: usize = 4096;

/// The fewest bits of a network of proxies: a larger one is as good as everybody.
const FEWEST_BITS: u8 = 8;

fn networks(setting: &Setting<Vec<String>>) -> Result<Vec<IpNet>, ConfigError> {
    let network = |text: &String| {
        let invalid = |problem| ConfigError::Invalid {
            name: "trusted-proxy",
            value: text.clone(),
            from: setting.source.clone(),
            problem,
        };
        let one = || text.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical()));
        let network = text.parse::<IpNet>().or_else(|_| one()).map(|network| network.trunc());
        let network = network
            .map_err(|_| invalid("must be an address or a network, such as 127.0.0.1 or 10.0.0.0/8"))?;
        if network.prefix_len() < FEWEST_BITS {
            return Err(invalid(
                "names nearly everybody, and whoever it names may say from where he comes: name the reverse proxy's own \
                 address or network, such as 10.0.0.0/8",
            ));
        }
        Ok(network)
    };
    setting.value.iter().map(network).collect()
}

fn plain_address(setting: &Setting<String>) -> Result<Option<SocketAddr>, ConfigError> {
    let invalid = |problem| ConfigError::Invalid {
        name: "mqtt-plain",
        value: setting.value.clone(),
        from: setting.source.clone(),
        problem,
    };
    if setting.value == "off" {
        return Ok(None);
    }
    let address: SocketAddr =
        setting.value.parse().map_err(|_| invalid("must be an address and a port, or off"))?;
    if address.ip().is_loopback() {
        Ok(Some(address))
    } else {
        Err(invalid("goes without encryption and must be a loopback address such as 127.0.0.1:1883"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(flags: &str, environment: &str, file: &str) -> Layers {
        let layer = |text: &str| toml::from_str::<Layer>(text).unwrap();
        Layers {
            flags: layer(flags),
            environment: layer(environment),
            file: layer(file),
            hostname: "vault".to_owned(),
        }
    }

    #[test]
    fn flag_beats_environment_beats_file_beats_default() {
        let file = "data_dir = '/f'\nhttp = '127.0.0.1:1'\nmqtt = '127.0.0.1:11'\nmax_connections = 7";
        let environment = "http = '127.0.0.1:2'\nmqtt = '127.0.0.1:12'";
        let config = layers("http = '127.0.0.1:3'", environment, file).resolve().unwrap();
        assert_eq!((config.http.value.port(), config.http.source), (3, Source::Flag));
        assert_eq!((config.mqtt.value.port(), config.mqtt.source), (12, Source::Environment));
        assert_eq!((config.max_connections.value, config.max_connections.source), (7, Source::File));
        assert_eq!(config.mqtt_plain.source, Source::Default);
        assert_eq!(config.public_url.value, "http://127.0.0.1:3");
    }

    #[test]
    fn the_settings_are_printed_as_they_were() {
        let config =
            layers("data_dir = '/d'", "max_viewers = 8", "tls_names = ['vault.lan']").resolve().unwrap();
        insta::assert_snapshot!("print_config", config.to_string());
    }

    /// Each setting but for where the data lies, with another value than its default.
    #[test]
    fn the_settings_that_were_given_are_a_settings_file_that_gives_them_again() {
        let all = "http = '127.0.0.1:1'\nhttp_tls = true\nhttp_tls_certificate = '/c'\nhttp_tls_key = '/k'\n\
                   mqtt = '127.0.0.1:2'\nmqtt_plain = '127.0.0.1:3'\nmqtt_public = 'a.lan:4'\n\
                   public_url = 'https://a.lan'\ntrusted_proxies = ['10.0.0.0/8']\ntls_names = ['b.lan']\n\
                   tls_certificate = '/tc'\ntls_key = '/tk'\nmax_connections = 5\nmax_viewers = 6\n\
                   max_viewers_per_account = 7\nkeep_jobs_days = 8\nhost_share_mib = 9\n\
                   archive_dir = '/a'\narchives_kept = 10\n\
                   notice_scripts = ['pager=/p']\nlog = 'json'\nmaster_key_file = '/m'";
        let wanted: toml::Table = toml::from_str(all).unwrap();
        let config = layers("data_dir = '/d'", "", all).resolve().unwrap();
        // What lies in the data folder of a server that is restored is found there.
        let carried =
            ["http_tls_certificate", "http_tls_key", "tls_certificate", "tls_key", "master_key_file"];
        let mut told = wanted.clone();
        told.retain(|name, _| !carried.iter().any(|it| **it == *name));
        assert_eq!(config.given(), told);
        let lines = config.to_string().lines().count();
        assert_eq!(lines, wanted.len() + 1, "one that is printed is left out");
        let again = layers("data_dir = '/d'", "", &config.given().to_string()).resolve().unwrap();
        assert_eq!(again.given(), told);
        let given = layers("data_dir = '/d'", "", "").resolve().unwrap().given();
        assert_eq!(given.to_string(), "mqtt_public = \"vault:8883\"\n");
    }

    #[test]
    fn certificates_that_came_with_an_archive_are_used_where_none_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let brought = folder.path().join("brought");
        std::fs::create_dir(&brought).unwrap();
        for name in ["certificate.pem", "pages-certificate.pem", "pages-key.pem"] {
            std::fs::write(brought.join(name), "x").unwrap();
        }
        let data_dir = format!("data_dir = '{}'", folder.path().display());
        let config = layers(&data_dir, "", "").resolve().unwrap();
        // A certificate without its key is none.
        assert_eq!((config.tls_certificate.value, config.tls_key.value), (None, None));
        assert_eq!(config.http_tls_key.value, Some(brought.join("pages-key.pem")));
        assert!(config.http_tls.value && config.public_url.value.starts_with("https://"));
        let named =
            layers(&data_dir, "", "http_tls_certificate = '/c'\nhttp_tls_key = '/k'").resolve().unwrap();
        assert_eq!(named.http_tls_key.value, Some("/k".into()));
    }

    #[test]
    fn agents_dial_the_machine_by_its_name_when_all_addresses_are_bound() {
        assert_eq!(layers("data_dir = '/d'", "", "").resolve().unwrap().mqtt_public.value, ["vault:8883"]);
        let bound = layers("data_dir = '/d'\nmqtt = '127.0.0.1:9'", "", "").resolve().unwrap();
        assert_eq!(bound.mqtt_public.value, ["127.0.0.1:9"]);
        let bound = layers("data_dir = '/d'\nmqtt = '[2001:db8::1]:9'", "", "").resolve().unwrap();
        assert_eq!(bound.mqtt_public.value, ["[2001:db8::1]:9"]);
    }

    #[test]
    fn several_addresses_are_a_list_in_each_layer() {
        let wanted = ["a.lan:1", "[2001:db8::1]:2"];
        for file in ["'a.lan:1, [2001:db8::1]:2'", "['a.lan:1', '[2001:db8::1]:2']"] {
            let config = layers("", "", &format!("data_dir = '/d'\nmqtt_public = {file}")).resolve().unwrap();
            assert_eq!(config.mqtt_public.value, wanted);
            let again = layers("data_dir = '/d'", "", &config.given().to_string()).resolve().unwrap();
            assert_eq!(again.mqtt_public.value, wanted);
        }
        let given =
            |name: &str| (name == "HOLDFAST_MQTT_PUBLIC").then(|| "a.lan:1,[2001:db8::1]:2".to_owned());
        assert_eq!(Layer::from_environment(given).unwrap().mqtt_public.unwrap(), wanted);
    }

    #[test]
    fn plain_mqtt_stays_on_loopback() {
        let refused = layers("data_dir = '/d'", "mqtt_plain = '0.0.0.0:1883'", "").resolve().unwrap_err();
        assert!(refused.to_string().contains("loopback"), "{refused}");
        assert_eq!(
            layers("data_dir = '/d'\nmqtt_plain = 'off'", "", "").resolve().unwrap().mqtt_plain.value,
            None
        );
    }

    #[test]
    fn pages_without_tls_stay_on_loopback_or_behind_a_named_proxy() {
        let resolve = |flags: &str| layers(&format!("data_dir = '/d'\n{flags}"), "", "").resolve();
        for http in
            ["0.0.0.0:8080", "[::]:8080", "192.0.2.1:8080", "[2001:db8::1]:8080", "[::ffff:192.0.2.1]:1"]
        {
            let refused = resolve(&format!("http = '{http}'")).unwrap_err().to_string();
            for word in ["--http-tls", "--trusted-proxy", "loopback", "flag"] {
                assert!(refused.contains(word), "{http}: {refused}");
            }
            assert!(resolve(&format!("http = '{http}'\nhttp_tls = true")).is_ok(), "{http}");
            assert!(resolve(&format!("http = '{http}'\ntrusted_proxies = ['10.0.0.5']")).is_ok(), "{http}");
        }
        for http in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert!(resolve(&format!("http = '{http}'")).is_ok(), "{http}");
        }
        let url = |flags: &str| resolve(flags).unwrap().public_url.value;
        assert_eq!(url("http = '0.0.0.0:8443'\nhttp_tls = true"), "https://vault:8443");
        assert_eq!(url("http = '192.0.2.1:8443'\nhttp_tls = true"), "https://192.0.2.1:8443");
        assert_eq!(url("http = '0.0.0.0:80'\ntrusted_proxies = ['10.0.0.5']"), "http://vault:80");
    }

    #[test]
    fn a_certificate_for_the_pages_turns_tls_on_and_needs_its_key() {
        let resolve = |flags: &str| layers(&format!("data_dir = '/d'\n{flags}"), "", "").resolve();
        let both = "http_tls_certificate = '/c'\nhttp_tls_key = '/k'";
        let config = resolve(both).unwrap();
        assert!(config.http_tls.value && config.public_url.value.starts_with("https://"));
        let shown = config.to_string();
        assert!(
            shown.contains("http-tls-certificate    /c") && shown.contains("http-tls-key            /k"),
            "{shown}"
        );
        for (flags, name) in [
            ("http_tls_certificate = '/c'".to_owned(), "http-tls-key"),
            ("http_tls_key = '/k'".to_owned(), "http-tls-certificate"),
            (format!("{both}\nhttp_tls = false"), "http-tls"),
            ("http_tls = true\npublic_url = 'http://fleet.lan'".to_owned(), "https://"),
        ] {
            let refused = resolve(&flags).unwrap_err().to_string();
            assert!(refused.contains(name), "{refused}");
        }
        let given = Layer::from_environment(|name| (name == "HOLDFAST_HTTP_TLS").then(|| "true".to_owned()));
        assert_eq!(given.unwrap().http_tls, Some(true));
        assert!(
            Layer::from_environment(|name| (name == "HOLDFAST_HTTP_TLS").then(|| "on".to_owned())).is_err()
        );
    }

    #[test]
    fn bad_values_are_named_with_their_source() {
        for (flags, name) in [
            ("mqtt_public = 'vault'", "mqtt-public"),
            ("mqtt_public = '::1:8883'", "mqtt-public"),
            ("mqtt_public = '[vault]:8883'", "mqtt-public"),
            ("mqtt_public = 'mqtts://vault:8883'", "mqtt-public"),
            ("mqtt_public = ['a:1', 'a:1']", "mqtt-public"),
            ("mqtt_public = 'a:1,a:2,a:3,a:4,a:5'", "mqtt-public"),
            ("mqtt_public = []", "mqtt-public"),
            ("mqtt_public = '0.0.0.0:8883'", "mqtt-public"),
            ("mqtt_public = '[::]:8883'", "mqtt-public"),
            ("public_url = 'vault'", "public-url"),
            ("tls_names = ['vault.lan', '']", "tls-name"),
            ("tls_names = ['vault.lan,nas.lan']", "tls-name"),
            ("tls_names = ['https://vault.lan']", "tls-name"),
            ("max_connections = 0", "max-connections"),
            ("notice_scripts = ['pager']", "notice-script"),
            ("notice_scripts = ['pager=bin/pager']", "notice-script"),
            ("notice_scripts = ['a b=/p']", "notice-script"),
            ("notice_scripts = ['a=/p', 'a=/q']", "notice-script"),
            ("max_viewers = 0", "max-viewers"),
            ("max_viewers = 5000", "max-viewers"),
            ("max_viewers_per_account = 0", "max-viewers-per-account"),
            ("mqtt_plain = 'yes'", "mqtt-plain"),
            ("trusted_proxies = ['10.0.0.0/8', 'proxy.lan']", "trusted-proxy"),
            ("trusted_proxies = ['10.0.0.5', '0.0.0.0/0']", "trusted-proxy"),
            ("trusted_proxies = ['128.0.0.0/1']", "trusted-proxy"),
            ("trusted_proxies = ['::/0']", "trusted-proxy"),
        ] {
            let flags = format!("data_dir = '/d'\n{flags}");
            let error = layers(&flags, "", "").resolve().unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("flag"), "{error}");
        }
        let error =
            Layer::from_environment(|name| (name == "HOLDFAST_HTTP").then(|| "x".to_owned())).unwrap_err();
        assert!(error.to_string().contains("HOLDFAST_HTTP"), "{error}");
        assert!(matches!(layers("", "", "").resolve(), Err(ConfigError::NoDataDir)));
    }

    #[test]
    fn a_trusted_proxy_is_an_address_or_a_network() {
        let layers = layers("data_dir = '/d'\ntrusted_proxies = ['127.0.0.1', '10.1.2.3/8', '::1']", "", "");
        let proxies = layers.resolve().unwrap().trusted_proxies.value;
        let texts: Vec<String> = proxies.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["127.0.0.1/32", "10.0.0.0/8", "::1/128"]);
        let given = Layer::from_environment(|name| {
            (name == "HOLDFAST_TRUSTED_PROXIES").then(|| "127.0.0.1, ::1".to_owned())
        });
        assert_eq!(given.unwrap().trusted_proxies.unwrap(), ["127.0.0.1", "::1"]);
    }

    #[test]
    fn an_unknown_key_in_the_file_is_an_error() {
        assert!(toml::from_str::<Layer>("htpp = '127.0.0.1:1'").is_err());
    }
}
