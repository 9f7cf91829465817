//! Networks as people write them: an address, or CIDR notation.

use std::net::IpAddr;

use ipnet::IpNet;

/// A network with the text that it was sent as; host bits may be set in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenNetwork {
    network: IpNet,
    text: String,
}

impl WrittenNetwork {
    /// Reads an address or a network in CIDR notation; `None` if the text is neither. IPv6 forms of IPv4 addresses count as IPv4.
    pub fn parse(text: &str) -> Option<Self> {
        let network = match text.parse::<IpNet>() {
            Ok(network) => network,
            Err(_) => IpNet::from(text.parse::<IpAddr>().ok()?),
        };
        let network = match network {
            IpNet::V6(mapped) if mapped.prefix_len() >= 96 => match mapped.addr().to_ipv4_mapped() {
                Some(address) => IpNet::new(address.into(), mapped.prefix_len() - 96).ok()?,
                None => network,
            },
            IpNet::V4(_) | IpNet::V6(_) => network,
        };
        Some(Self { network, text: text.to_owned() })
    }

    /// The text as sent.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The network.
    pub fn network(&self) -> IpNet {
        self.network
    }

    /// Whether an address lies in it; the IPv6 form of an IPv4 address counts as that one.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.network.contains(&address.to_canonical())
    }
}
