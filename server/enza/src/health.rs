//! `enza health`: asks the server on this computer whether it answers, for a container's health check.

use crate::config::Config;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Longest wait for the answer. Higher: a stuck server is noticed later; lower: a busy one counts as stuck.
const PATIENCE: Duration = Duration::from_secs(3);

/// Enough of the answer to see its status: `HTTP/1.1 200`.
const STATUS_LINE: usize = 12;

/// Succeeds when the server of `config` answers `HEAD /` with anything but a server's error. On an HTTPS port the
/// answer is the redirect that plain HTTP gets there, so no certificate has to be trusted.
///
/// # Errors
/// Nobody listens, the answer takes more than 3 seconds, is no HTTP, or is a 5xx.
pub async fn check(config: &Config) -> io::Result<()> {
    match tokio::time::timeout(PATIENCE, ask(address(config, config.port))).await {
        Ok(Ok(100..=499)) => Ok(()),
        Ok(Ok(status)) => Err(io::Error::other(format!("the server answers with status {status}"))),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Where the server of `config` can be reached from here, on this port.
pub(crate) fn address(config: &Config, port: u16) -> SocketAddr {
    let ip = match config.bind {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, port)
}

/// The status of the answer.
async fn ask(address: SocketAddr) -> io::Result<u16> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("HEAD / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut line = [0; STATUS_LINE];
    stream.read_exact(&mut line).await?;
    std::str::from_utf8(&line)
        .ok()
        .and_then(|line| line.strip_prefix("HTTP/1.1 ")?.parse().ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is no HTTP"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;
    use tokio::net::TcpListener;

    async fn checked(answer: &'static [u8]) -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 15];
            stream.read_exact(&mut request).await.unwrap();
            assert_eq!(&request, b"HEAD / HTTP/1.1");
            stream.write_all(answer).await.unwrap();
        });
        let settings = Settings { port: Some(port), ..Settings::default() };
        let result = check(&settings.resolve(None, |_| None).unwrap()).await;
        server.await.unwrap();
        result
    }

    #[tokio::test]
    async fn an_answer_is_healthy_a_server_error_and_another_protocol_are_not() {
        checked(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        checked(b"HTTP/1.1 308 Permanent Redirect\r\n\r\n").await.unwrap();
        assert!(checked(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").await.is_err());
        assert!(checked(b"SSH-2.0-OpenSSH_9.2\r\n").await.is_err());
        assert!(checked(b"HTTP").await.is_err());
    }
}
