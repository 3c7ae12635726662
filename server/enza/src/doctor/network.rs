//! What others find of this server: its answers, its name, its address as others see it, its certificate.

use super::{Found, Wanted, shown};
use crate::config::{Config, Transport};
use crate::media::{self, is_public};
use crate::operate::remote::Remote;
use crate::running::Running;
use crate::tls::validity::{self, Validity};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime};
use tokio::net::{UdpSocket, lookup_host};
use tokio::time::timeout;

/// Longest wait for anybody's answer. Higher: the whole look takes longer; lower: a far server counts as silent.
const PATIENCE: Duration = Duration::from_secs(3);

/// How often a datagram is sent again meanwhile.
const AGAIN: Duration = Duration::from_millis(500);

/// A certificate that ends so soon should have been renewed: authorities give theirs for 90 days, renewed after 60.
const SOON_DAYS: u64 = 14;

/// The running server over TCP and UDP, from this computer.
pub(super) async fn server(running: Option<&Running>, key: Option<&str>) -> Vec<Found> {
    let Some((running, at)) = running.and_then(|running| Some((running, running.address()?))) else {
        return vec![Found::NotRunning];
    };
    let port = at.port();
    let remote = Remote::local(running.clone(), key.unwrap_or_default().to_owned());
    let answered = match timeout(PATIENCE, remote.readiness()).await {
        Ok(Ok(said)) if said.starts_with("ready") => Found::Running { port },
        Ok(Ok(said)) => Found::NotReady { port, said },
        Ok(Err(error)) => Found::NotReady { port, said: error.to_string() },
        Err(_) => Found::NotReady { port, said: "no answer".to_owned() },
    };
    let udp = match mapped(at).await {
        Some(_) => Found::UdpAnswers { port },
        None => Found::UdpSilent { port },
    };
    vec![answered, udp]
}

/// As whom `server` sees a socket of ours (RFC 8489, Binding).
async fn mapped(server: SocketAddr) -> Option<SocketAddr> {
    seen(&socket_for(server).await?, server).await
}

async fn socket_for(server: SocketAddr) -> Option<UdpSocket> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { std::net::Ipv6Addr::UNSPECIFIED.into() };
    UdpSocket::bind((any, 0)).await.ok()
}

async fn seen(socket: &UdpSocket, server: SocketAddr) -> Option<SocketAddr> {
    let mut transaction = [0; 12];
    getrandom::fill(&mut transaction).ok()?;
    let request = turn::binding_request(transaction);
    let asking = async {
        let mut buffer = [0; 1500];
        loop {
            let _ = socket.send_to(&request, server).await;
            if let Ok(Ok((length, from))) = timeout(AGAIN, socket.recv_from(&mut buffer)).await
                && from == server
                && let Some(address) = turn::mapped_address(buffer.get(..length)?, transaction)
            {
                return Some(address);
            }
        }
    };
    timeout(PATIENCE, asking).await.ok().flatten()
}

/// This machine's addresses, as it and as others see them, and what its name leads to.
pub(super) async fn addresses(config: &Config, wanted: &Wanted) -> Vec<Found> {
    let mut found = Vec::new();
    let own = media::own_addresses();
    let mut known: Vec<IpAddr> = own.iter().copied().chain(config.announce.iter().copied()).collect();
    let public = |ip: &&IpAddr| is_public(**ip);
    let (mut mappings, mut socket) = (Vec::new(), None);
    for server in &wanted.stun {
        let resolved =
            lookup_host(server.as_str()).await.ok().and_then(|mut all| all.find(SocketAddr::is_ipv4));
        let Some(address) = resolved else {
            found.push(Found::StunSilent { server: server.clone() });
            continue;
        };
        if socket.is_none() {
            socket = socket_for(address).await;
        }
        match &socket {
            Some(socket) => match seen(socket, address).await {
                Some(mapping) => mappings.push(mapping),
                None => found.push(Found::StunSilent { server: server.clone() }),
            },
            None => found.push(Found::StunSilent { server: server.clone() }),
        }
    }
    // Where nothing else says the address, the server tells where its domain leads.
    let by_name = match &config.stun_server {
        None if config.is_found_by_name() => media::named(config.domains()).await,
        _ => Vec::new(),
    };
    let seen_as = by_name.first().copied().or_else(|| mappings.first().map(SocketAddr::ip));
    found.extend(private_port(config, &known, seen_as));
    let own_port = socket.and_then(|socket| socket.local_addr().ok()).map(|address| address.port());
    match mappings.first() {
        Some(first) => {
            let mapped = first.ip();
            // Without --announce the server asks by itself and tells what it hears.
            let asks = config.stun_server.is_some() && config.announce.is_empty();
            let told = asks || config.announce.contains(&mapped) || by_name.contains(&mapped);
            found.push(if own.contains(&mapped) {
                Found::Public { address: mapped }
            } else if mappings.iter().any(|other| other != first) {
                Found::Symmetric { mapped, told }
            } else {
                Found::BehindNat { mapped, told, keeps_port: own_port == Some(first.port()) }
            });
            known.push(mapped);
        }
        None => match known.iter().find(public) {
            Some(address) => found.push(Found::Public { address: *address }),
            // On loopback nobody else is meant to come.
            None if config.bind.is_loopback() => {}
            // The name is looked at below.
            None if !by_name.is_empty() => {}
            None => found.push(Found::PrivateOnly),
        },
    }
    if let Some(host) = &wanted.host {
        found.push(match name(host, &known).await {
            Found::DnsUncertain { host, leads } if leads.iter().any(|ip| by_name.contains(ip)) => {
                Found::DnsTold { host, leads }
            }
            other => other,
        });
    }
    found
}

/// `known`: this machine's addresses and the announced ones.
fn private_port(config: &Config, known: &[IpAddr], mapped: Option<IpAddr>) -> Option<Found> {
    let told: Vec<IpAddr> = match (&config.announce[..], config.bind) {
        ([], bind) if bind.is_unspecified() => known.iter().copied().chain(mapped).collect(),
        ([], bind) => std::iter::once(bind).chain(mapped).collect(),
        (announced, _) => announced.to_vec(),
    };
    let refused =
        matches!(config.port, 80 | 443) && !config.bind.is_loopback() && !told.into_iter().any(is_public);
    refused.then_some(Found::PrivatePort { port: config.port })
}

async fn name(host: &str, known: &[IpAddr]) -> Found {
    let host = host.to_owned();
    let asked = timeout(PATIENCE, lookup_host((host.clone(), 0))).await;
    let leads: Vec<IpAddr> = match asked {
        Ok(Ok(all)) => {
            let mut all: Vec<IpAddr> = all.map(|address| address.ip()).collect();
            all.sort();
            all.dedup();
            all
        }
        Ok(Err(error)) => return Found::DnsNothing { host, reason: error.to_string() },
        Err(_) => return Found::DnsNothing { host, reason: "no answer".to_owned() },
    };
    let (here, others): (Vec<IpAddr>, Vec<IpAddr>) = leads.iter().partition(|ip| known.contains(ip));
    match (here.is_empty(), others.is_empty()) {
        (_, true) if leads.is_empty() => Found::DnsNothing { host, reason: "no address".to_owned() },
        (false, true) => Found::DnsFits { host },
        (false, false) => Found::DnsMixed { host, others },
        (true, _) if known.iter().any(|ip| is_public(*ip)) => Found::DnsElsewhere {
            host,
            leads,
            own: known.iter().copied().filter(|ip| is_public(*ip)).collect(),
        },
        (true, _) => Found::DnsUncertain { host, leads },
    }
}

/// What the running server shows for this name, else what it would show.
pub(super) async fn certificate(config: &Config, at: Option<SocketAddr>, host: Option<&str>) -> Found {
    let own = match config.transport {
        Transport::Plain => return Found::NoCertificate { alone: config.bind.is_loopback() },
        Transport::Development => true,
        Transport::Files { .. } | Transport::Domains(_) => false,
    };
    let name = host.unwrap_or("localhost");
    let chain = match at {
        Some(at) => match timeout(PATIENCE, shown::open(at, name)).await {
            Ok(Ok((_, chain))) => chain,
            Ok(Err(error)) => return Found::CertificateRefused { reason: error.to_string() },
            Err(_) => return Found::CertificateRefused { reason: "no answer".to_owned() },
        },
        None => shown::in_files(config),
    };
    let Some(Validity { until, .. }) = chain.first().and_then(|first| validity::of(first)) else {
        return Found::CertificateRefused { reason: "there is none".to_owned() };
    };
    match ending(until) {
        Found::CertificateOver => Found::CertificateOver,
        Found::CertificateSoon { days } | Found::CertificateFits { days } if own => {
            Found::CertificateOwn { days }
        }
        found => match host.map(|host| shown::judge(&chain, host)) {
            Some(Err(reason)) => Found::CertificateRefused { reason },
            _ => found,
        },
    }
}

/// What a certificate's end alone says of it.
pub(super) fn ending(until: SystemTime) -> Found {
    match until.duration_since(SystemTime::now()).map(|left| left.as_secs() / 86_400) {
        Err(_) => Found::CertificateOver,
        Ok(days) if days < SOON_DAYS => Found::CertificateSoon { days },
        Ok(days) => Found::CertificateFits { days },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    #[test]
    fn a_port_that_chromium_refuses_at_private_addresses_is_named() {
        let private: IpAddr = "192.168.1.5".parse().unwrap();
        let public: IpAddr = "203.0.113.4".parse().unwrap();
        let config = |port: u16, announce: &[IpAddr]| {
            let announce = announce.to_vec();
            let settings = Settings {
                port: Some(port),
                bind: Some([0, 0, 0, 0].into()),
                announce: Some(announce),
                ..Settings::default()
            };
            settings.resolve(None, |_| None).unwrap()
        };
        assert!(private_port(&config(443, &[]), &[private], None).is_some());
        assert!(private_port(&config(443, &[private]), &[private, public], None).is_some());
        assert!(private_port(&config(443, &[]), &[private], Some(public)).is_none());
        assert!(private_port(&config(443, &[public]), &[private], None).is_none());
        assert!(private_port(&config(7880, &[]), &[private], None).is_none());
        let alone = Config { bind: IpAddr::from([127, 0, 0, 1]), ..config(443, &[]) };
        assert!(private_port(&alone, &[private], None).is_none());
    }

    #[tokio::test]
    async fn a_name_is_compared_with_what_this_machine_is_known_by() {
        let loopback: IpAddr = "127.0.0.1".parse().unwrap();
        assert!(matches!(name("127.0.0.1", &[loopback]).await, Found::DnsFits { .. }));
        let public: IpAddr = "203.0.113.4".parse().unwrap();
        assert!(matches!(name("127.0.0.1", &[public]).await, Found::DnsElsewhere { .. }));
        assert!(matches!(
            name("127.0.0.1", &["10.0.0.1".parse().unwrap()]).await,
            Found::DnsUncertain { .. }
        ));
        assert!(matches!(name("nothing.invalid", &[]).await, Found::DnsNothing { .. }));
    }
}
