use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn resolve(flags: Settings, environment: &[(&str, &str)], file: Option<&str>) -> Result<Config, StartError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("enza.toml");
    if let Some(text) = file {
        std::fs::write(&path, text).unwrap();
    }
    let flags = Settings { data: flags.data.or(Some(folder.path().join("data"))), ..flags };
    flags.resolve(None, |name| {
        environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    })
}

fn sentence(result: Result<Config, StartError>) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.exit_code(), 2);
    error.to_string()
}

#[test]
fn nothing_given_is_plain_http_for_this_computer() {
    let config = Settings::default().resolve(None, |_| None).unwrap();
    assert_eq!((config.port, config.bind), (7880, "127.0.0.1".parse().unwrap()));
    assert_eq!(config.transport, Transport::Plain);
    assert_eq!((config.data, config.certs), ("data".into(), "certs".into()));
    assert_eq!(config.api_key, None);
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let file = "port = 1\nbind = \"127.0.0.3\"\nannounce = [\"192.0.2.1\"]";
    let environment = [("ENZA_PORT", "2"), ("ENZA_BIND", "127.0.0.2")];
    let flags = Settings { port: Some(3), ..Settings::default() };
    let config = resolve(flags, &environment, Some(file)).unwrap();
    assert_eq!(config.port, 3);
    assert_eq!(config.bind, "127.0.0.2".parse::<IpAddr>().unwrap());
    assert_eq!(config.announce, ["192.0.2.1".parse::<IpAddr>().unwrap()]);
    let config = resolve(Settings::default(), &[], Some(file)).unwrap();
    assert_eq!((config.port, config.bind), (1, "127.0.0.3".parse().unwrap()));
    let config = resolve(Settings::default(), &[("ENZA_PORT", "")], Some(file)).unwrap();
    assert_eq!(config.port, 1, "an empty variable counts as unset");
}

#[test]
fn key_and_secret_come_from_one_source() {
    let file = format!("api_key = \"filekey\"\napi_secret = \"{SECRET}\"");
    let pair = Settings {
        api_key: Some("flagkey".to_owned()),
        api_secret: Some("f".repeat(32)),
        ..Settings::default()
    };
    let config = resolve(pair.clone(), &[], Some(&file)).unwrap();
    assert_eq!(config.api_key, Some(ApiKey::new("flagkey".to_owned(), "f".repeat(32)).unwrap()));
    let half = Settings { api_secret: None, ..pair };
    assert!(sentence(resolve(half, &[], Some(&file))).contains("--api-secret"));
    let short = [("ENZA_API_KEY", "k"), ("ENZA_API_SECRET", "secret")];
    assert!(sentence(resolve(Settings::default(), &short, None)).contains("at least 32"));
}

#[test]
fn an_unknown_key_is_named_with_the_nearest_one() {
    for (written, meant) in [("prot", "port"), ("api-secret", "api_secret"), ("announced", "announce")] {
        let said = sentence(resolve(Settings::default(), &[], Some(&format!("{written} = 1"))));
        assert!(said.contains(&format!("\"{written}\"")), "{said}");
        assert!(said.contains(&format!("did you mean \"{meant}\"?")), "{said}");
    }
    let said = sentence(resolve(Settings::default(), &[], Some("zzz = 1")));
    assert!(said.contains("zzz") && !said.contains("did you mean"), "{said}");
}

#[test]
fn every_field_has_a_key_in_the_file() {
    let all = format!(
        "port = 1\nbind = \"::1\"\ndata = \"d\"\napi_key = \"k\"\napi_secret = \"{SECRET}\"\nlan = false\n\
         cert = \"c.pem\"\nkey = \"/abs/k.pem\"\nplain_http = false\ntrusted_proxies = [\"::1\"]\npublic_url = \"https://a.example\"\nannounce = []\nstun_server = \"stun.example.org:3478\"\ndevelopment = true\n\
         rooms = \"open\"\nmedia_threads = 3\nwebhooks = [\"https://example.org/a\"]\n\
         metrics_bind = \"127.0.0.1:9464\"\nlog_format = \"json\"\n\
         domains = [\"a.example\"]\nacme_directory = \"https://ca.example/dir\"\nacme_contacts = [\"a@b.example\"]\n\
         acme_root = \"ca.pem\""
    );
    assert_eq!(all.lines().count(), KEYS.len());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("enza.toml");
    std::fs::write(&path, all).unwrap();
    let settings = Settings::from_file(&path).unwrap();
    assert_eq!(settings.data, Some(folder.path().join("d")), "relative to the file's folder");
    assert_eq!(settings.key, Some("/abs/k.pem".into()));
    assert_eq!(settings.acme_root, Some(folder.path().join("ca.pem")));
    assert_eq!(settings.rooms, Some(RoomsRule::Open));
    assert_eq!(settings.media_threads, Some(3));
    assert_eq!(settings.webhooks, Some(vec!["https://example.org/a".to_owned()]));
    assert!(settings.port.is_some() && settings.bind.is_some() && settings.announce.is_some());
    assert!(settings.trusted_proxies.is_some() && settings.public_url.is_some());
    assert!(settings.lan.is_some() && settings.plain_http.is_some() && settings.api_secret.is_some());
}

#[test]
fn broken_values_are_one_sentence() {
    for file in ["port = \"x\"", "port = 70000", "port", "bind = \"localhost\""] {
        let said = sentence(resolve(Settings::default(), &[], Some(file)));
        assert!(said.contains("enza.toml") && !said.contains('\n'), "{said}");
    }
    let said = sentence(resolve(Settings::default(), &[("ENZA_PORT", "x")], None));
    assert!(said.contains("ENZA_PORT") && said.contains("\"x\""), "{said}");
    let missing = Settings::default().resolve(Some(Path::new("no/such.toml")), |_| None);
    assert!(sentence(missing).contains("no/such.toml"));
}

#[test]
fn a_page_that_others_reach_is_https() {
    let bind = |address: &str| Settings { bind: Some(address.parse().unwrap()), ..Settings::default() };
    let lan = Settings { lan: Some(true), ..Settings::default() };
    let config = resolve(lan.clone(), &[], None).unwrap();
    assert_eq!((config.bind, config.transport), ("0.0.0.0".parse().unwrap(), Transport::Development));
    assert_eq!(resolve(bind("0.0.0.0"), &[], None).unwrap().transport, Transport::Development);
    assert_eq!(resolve(bind("::1"), &[], None).unwrap().transport, Transport::Plain);
    let proxied = Settings { plain_http: Some(true), ..bind("0.0.0.0") };
    assert_eq!(resolve(proxied, &[], None).unwrap().transport, Transport::Plain);
    let files = Settings { cert: Some("c".into()), key: Some("k".into()), ..bind("0.0.0.0") };
    assert_eq!(
        resolve(files.clone(), &[], None).unwrap().transport,
        Transport::Files { cert: "c".into(), key: "k".into() }
    );
    assert!(sentence(resolve(Settings { key: None, ..files.clone() }, &[], None)).contains("--key"));
    let both = Settings { plain_http: Some(true), ..files };
    assert!(sentence(resolve(both, &[], None)).contains("--plain-http"));
    let both = Settings { plain_http: Some(true), ..lan };
    assert!(sentence(resolve(both, &[], None)).contains("--lan"));
}

#[test]
fn a_proxy_is_trusted_where_it_adds_the_https() {
    let trusted =
        Settings { trusted_proxies: Some(vec!["127.0.0.1".parse().unwrap()]), ..Settings::default() };
    assert_eq!(resolve(trusted.clone(), &[], None).unwrap().trusted_proxies.len(), 1);
    let several = [("ENZA_TRUSTED_PROXY", "127.0.0.1, ::1"), ("ENZA_ANNOUNCE", "192.0.2.1")];
    let config = resolve(Settings::default(), &several, None).unwrap();
    assert_eq!(config.trusted_proxies, ["127.0.0.1", "::1"].map(|ip| ip.parse::<IpAddr>().unwrap()));
    assert_eq!(config.announce, ["192.0.2.1".parse::<IpAddr>().unwrap()]);
    assert!(
        sentence(resolve(Settings::default(), &[("ENZA_TRUSTED_PROXY", "proxy")], None)).contains("proxy")
    );
    for (other, named) in [
        (Settings { lan: Some(true), ..trusted.clone() }, "--lan"),
        (Settings { bind: Some("0.0.0.0".parse().unwrap()), ..trusted.clone() }, "--plain-http"),
        (Settings { cert: Some("c".into()), key: Some("k".into()), ..trusted.clone() }, "--cert"),
        (Settings { domains: Some(vec!["a.example".to_owned()]), ..trusted.clone() }, "--domain"),
    ] {
        let said = sentence(resolve(other, &[], None));
        assert!(said.contains("--trusted-proxy") && said.contains(named), "{said}");
    }
}

#[test]
fn a_public_url_is_what_links_begin_with() {
    let with = |value: &str| resolve(Settings::default(), &[("ENZA_PUBLIC_URL", value)], None);
    for (good, kept) in [
        ("https://circle.example.jp", "https://circle.example.jp"),
        ("https://circle.example.jp/", "https://circle.example.jp"),
        (" http://[2001:db8::1]:8080", "http://[2001:db8::1]:8080"),
    ] {
        assert_eq!(with(good).unwrap().public_url.as_deref(), Some(kept));
    }
    assert_eq!(with("").unwrap().public_url, None);
    for bad in [
        "circle.example.jp",
        "ftp://a.example",
        "https://a.example/rooms",
        "https://a@b.example",
        "https://a.example/#x",
        "https://a.example/?x",
    ] {
        assert!(sentence(with(bad)).contains("--public-url"), "{bad}");
    }
}

#[test]
fn media_threads_are_few_and_at_least_one() {
    let threads = |media_threads| Settings { media_threads, ..Settings::default() };
    assert!((1..=MEDIA_THREADS_MAX).contains(&resolve(threads(None), &[], None).unwrap().media_threads));
    assert_eq!(resolve(threads(Some(4)), &[], None).unwrap().media_threads, 4);
    for wrong in [0, MEDIA_THREADS_MAX + 1] {
        let error = resolve(threads(Some(wrong)), &[], None).unwrap_err();
        assert!(error.to_string().contains("a number from 1 to 16"), "{error}");
    }
}

#[test]
fn a_webhook_is_a_url_and_several_stand_between_commas() {
    let several = [("ENZA_WEBHOOKS", "http://127.0.0.1:9/a, https://example.org/b")];
    let config = resolve(Settings::default(), &several, None).unwrap();
    assert_eq!(config.webhooks, ["http://127.0.0.1:9/a", "https://example.org/b"]);
    for wrong in ["example.org", "ftp://example.org/", "/events", "http://"] {
        let flags = Settings { webhooks: Some(vec![wrong.to_owned()]), ..Settings::default() };
        assert!(sentence(resolve(flags, &[], None)).contains(wrong), "{wrong}");
    }
}

#[test]
fn a_stun_server_has_a_port() {
    let with = |value: &str| resolve(Settings::default(), &[("ENZA_STUN_SERVER", value)], None);
    for good in ["stun.example.org:3478", "192.0.2.1:3478", "[2001:db8::1]:3478"] {
        assert_eq!(with(good).unwrap().stun_server.as_deref(), Some(good));
    }
    assert_eq!(with("").unwrap().stun_server, None);
    for bad in ["stun.example.org", "stun:stun.example.org:3478", ":3478", "a b:1"] {
        assert!(sentence(with(bad)).contains("3478"), "{bad}");
    }
}

#[test]
fn a_domain_means_https_for_everybody_and_its_own_certificate() {
    let domain = Settings { domains: Some(vec!["circle.example".to_owned()]), ..Settings::default() };
    let config = resolve(domain.clone(), &[], None).unwrap();
    assert_eq!((config.port, config.bind), (443, "0.0.0.0".parse().unwrap()));
    let Transport::Domains(acme) = config.transport else { panic!("{:?}", config.transport) };
    assert_eq!(acme.domains, ["circle.example"]);
    assert!(acme.directory.contains("letsencrypt.org"), "{}", acme.directory);
    let config =
        resolve(Settings::default(), &[("ENZA_DOMAIN", "a.example,b.example"), ("ENZA_PORT", "8443")], None);
    let config = config.unwrap();
    assert_eq!(config.port, 8443);
    assert!(matches!(config.transport, Transport::Domains(acme) if acme.domains.len() == 2));
    for other in [
        Settings { plain_http: Some(true), ..domain.clone() },
        Settings { lan: Some(true), ..domain.clone() },
        Settings { cert: Some("c".into()), key: Some("k".into()), ..domain.clone() },
    ] {
        assert!(sentence(resolve(other, &[], None)).contains("--domain"));
    }
    let file = "domains = [\"circle example\"]";
    assert!(sentence(resolve(Settings::default(), &[], Some(file))).contains("circle.example.jp"));
}

#[test]
fn a_host_is_https_alone_only_from_the_port_of_https_and_with_a_trusted_certificate() {
    let files = Settings { cert: Some("c".into()), key: Some("k".into()), ..Settings::default() };
    let domain = Settings { domains: Some(vec!["circle.example".to_owned()]), ..Settings::default() };
    let lan = Settings { lan: Some(true), ..Settings::default() };
    for (settings, port, alone) in [
        (&files, "443", true),
        (&domain, "443", true),
        (&files, "8443", false),
        (&domain, "8443", false),
        (&lan, "443", false),
    ] {
        let config = resolve(settings.clone(), &[("ENZA_PORT", port)], None).unwrap();
        assert_eq!(config.is_https_alone(), alone, "{settings:?} on {port}");
    }
}
