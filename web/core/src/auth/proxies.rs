//! Addresses in front of the service that are believed when they say for whom they speak.

use std::net::{IpAddr, SocketAddr};

use actix_web::http::header::{HeaderMap, HeaderName};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The proxies that are believed. From anyone else such headers mean nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Reads addresses and networks, like `127.0.0.1` or `10.0.0.0/8`.
    pub fn parse(items: &[String]) -> Result<Self, String> {
        items.iter().map(|item| parse_network(item)).collect::<Result<_, _>>().map(Self)
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        // On a socket for both versions an IPv4 peer comes as `::ffff:10.0.0.1`.
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Who asks: the peer, or whom a trusted one names.
    pub fn client(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Option<IpAddr> {
        let mut client = peer?.to_canonical();
        let named = headers.get_all(FORWARDED_FOR).filter_map(|value| value.to_str().ok());
        let named: Vec<_> = named.flat_map(|value| value.split(',')).map(str::trim).collect();
        // The last name is the one that the nearest proxy saw; those before it count only as far as they are proxies
        // of ours, too: the client can write any name there.
        for name in named.into_iter().rev() {
            if !self.is_trusted(client) {
                break;
            }
            let Some(before) = parse_address(name) else { break };
            client = before.to_canonical();
        }
        Some(client)
    }

    pub fn is_https(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> bool {
        let said = headers.get(FORWARDED_PROTO).is_some_and(|value| value.as_bytes() == b"https");
        // Anyone can send the header; only from a proxy of ours does it mean something.
        said && peer.is_some_and(|peer| self.is_trusted(peer))
    }
}

fn parse_network(text: &str) -> Result<IpNet, String> {
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.map_err(|_| format!("`{text}`: write an address or a network, like 10.0.0.0/8"))
}

/// An address as proxies write it, with or without a port.
fn parse_address(name: &str) -> Option<IpAddr> {
    // Some proxies write IPv6 in brackets, and some add the port.
    let plain = name.trim_start_matches('[').trim_end_matches(']');
    plain.parse().ok().or_else(|| name.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn proxies(items: &[&str]) -> Result<TrustedProxies, String> {
        TrustedProxies::parse(&items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>())
    }

    fn headers(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, HeaderValue::from_str(line).unwrap());
        }
        headers
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let proxies = proxies(&["127.0.0.1", "10.0.0.0/8", "fd00::/8"]).unwrap();
        for (peer, lines, client) in [
            ("192.0.2.1", vec!["198.51.100.7"], "192.0.2.1"),
            ("127.0.0.1", vec![], "127.0.0.1"),
            ("127.0.0.1", vec!["198.51.100.7"], "198.51.100.7"),
            ("::ffff:127.0.0.1", vec!["198.51.100.7"], "198.51.100.7"),
            // What the client wrote itself stands before what the proxy saw.
            ("10.1.1.1", vec!["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
            ("10.1.1.1", vec!["203.0.113.9", "198.51.100.7, 10.2.2.2"], "198.51.100.7"),
            ("10.1.1.1", vec!["198.51.100.7:4711"], "198.51.100.7"),
            ("fd00::1", vec!["[2001:db8::7]:4711"], "2001:db8::7"),
            ("fd00::1", vec!["[2001:db8::7]"], "2001:db8::7"),
            ("10.1.1.1", vec!["unknown"], "10.1.1.1"),
            ("10.1.1.1", vec!["10.3.3.3"], "10.3.3.3"),
        ] {
            let found = proxies.client(Some(peer.parse().unwrap()), &headers(&lines));
            assert_eq!(found, Some(client.parse().unwrap()), "{peer} {lines:?}");
        }
        let none = TrustedProxies::default();
        let peer = Some("127.0.0.1".parse().unwrap());
        assert_eq!(none.client(peer, &headers(&["198.51.100.7"])), peer, "none is trusted unless it is named");
    }

    #[test]
    fn https_is_believed_of_a_trusted_proxy_only() {
        let proxies = proxies(&["127.0.0.1"]).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static("https"));
        assert!(proxies.is_https(Some("127.0.0.1".parse().unwrap()), &headers));
        assert!(!proxies.is_https(Some("192.0.2.1".parse().unwrap()), &headers));
        assert!(!proxies.is_https(Some("127.0.0.1".parse().unwrap()), &HeaderMap::new()));
    }

    #[test]
    fn what_is_no_network_is_named() {
        let err = proxies(&["10.0.0.0/8", "proxy.internal"]).unwrap_err();
        assert_eq!(err, "`proxy.internal`: write an address or a network, like 10.0.0.0/8");
    }
}
