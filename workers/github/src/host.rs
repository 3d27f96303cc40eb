//! Which hosts are GitHub's, and where each of them is asked.

use std::collections::BTreeMap;

/// Names the hosts of GitHub Enterprise: `ghe.corp.example`, or `ghe.corp.example=https://ghe.corp.example/api/v3`.
const HOSTS: &str = "AO_GITHUB_HOSTS";

/// Where GitHub itself is asked, if not where it usually is.
const API: &str = "AO_GITHUB_API";

/// GitHub itself.
pub(crate) const GITHUB: &str = "github.com";

/// What follows a tenant's name where GitHub hosts an enterprise by itself.
const TENANTS: &str = ".ghe.com";

/// A host, and where it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    /// Its name, as in the address of a repository.
    pub(crate) name: String,
    /// Scheme and authority: everything is asked there.
    pub(crate) origin: String,
    /// What every path of the REST API begins with.
    pub(crate) rest: String,
    /// The path of the GraphQL API.
    pub(crate) graphql: String,
}

impl Host {
    /// `name`, whose REST API lies at `base`.
    fn at(name: &str, base: &str) -> Result<Self, String> {
        if !base.starts_with("https://") && !is_here(base) {
            return Err(format!("`{base}` is neither https nor on this machine"));
        }
        let uri: hyper::Uri = base.parse().map_err(|_| format!("`{base}` is not an address"))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(format!("`{base}` is not an address"));
        };
        if authority.as_str().contains('@') || uri.query().is_some() {
            return Err(format!("`{base}` is more than an address and a path"));
        }
        let rest = uri.path().trim_end_matches('/');
        // An enterprise's own server has both under one path; elsewhere the one lies below the other.
        let above = rest.strip_suffix("/v3").filter(|above| above.ends_with("/api"));
        Ok(Self {
            name: name.to_owned(),
            origin: format!("{scheme}://{authority}"),
            rest: rest.to_owned(),
            graphql: format!("{}/graphql", above.unwrap_or(rest)),
        })
    }
}

/// The hosts that are known: GitHub's own, and those the user has named.
#[derive(Clone, Debug)]
pub(crate) struct Hosts(BTreeMap<String, Host>);

/// A host was named in a way that is not understood. Nothing was asked anywhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadHosts(String);

impl Hosts {
    /// The hosts that `env` names (`AO_GITHUB_HOSTS`), and where it has GitHub itself asked (`AO_GITHUB_API`).
    pub(crate) fn read(env: &[(String, String)]) -> Result<Self, BadHosts> {
        let value = |of: &str| {
            let found = env.iter().find(|(name, _)| name == of);
            found.map_or("", |(_, value)| value.trim())
        };
        let (mut hosts, mut bad) = (BTreeMap::new(), Vec::new());
        let api = value(API);
        if !api.is_empty() {
            let host = Host::at(GITHUB, api).map_err(|why| BadHosts(format!("{API}: {why}")))?;
            hosts.insert(host.name.clone(), host);
        }
        let named = value(HOSTS);
        for entry in named.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            match read(entry) {
                Ok(host) if hosts.contains_key(&host.name) => {
                    bad.push(format!("`{}` is named twice", host.name));
                }
                Ok(host) => drop(hosts.insert(host.name.clone(), host)),
                Err(why) => bad.push(why),
            }
        }
        if bad.is_empty() {
            Ok(Self(hosts))
        } else {
            Err(BadHosts(format!("{HOSTS}: {}", bad.join("; "))))
        }
    }

    /// The host of that name; `None` where it is none of GitHub's.
    pub(crate) fn get(&self, name: &str) -> Option<Host> {
        let name = match name.to_lowercase() {
            ssh if ssh == "ssh.github.com" => GITHUB.to_owned(),
            name => name,
        };
        if let Some(host) = self.0.get(&name) {
            return Some(host.clone());
        }
        let tenant = name
            .strip_suffix(TENANTS)
            .filter(|tenant| is_name(tenant) && !tenant.contains('.'));
        match tenant {
            Some(_) => Host::at(&name, &format!("https://api.{name}")).ok(),
            None if name == GITHUB => Host::at(GITHUB, crate::API).ok(),
            None => None,
        }
    }
}

fn read(entry: &str) -> Result<Host, String> {
    let (name, base) = match entry.split_once('=') {
        Some((name, base)) => (name.trim(), Some(base.trim())),
        None => (entry, None),
    };
    if !is_name(name) {
        return Err(format!(
            "`{name}` is not a host: `ghe.corp.example` is wanted, or `ghe.corp.example=https://ghe.corp.example/api/v3`"
        ));
    }
    let name = name.to_lowercase();
    match base {
        Some(base) => Host::at(&name, base),
        None => Host::at(&name, &format!("https://{name}/api/v3")),
    }
}

/// Whether it can be the name of a host: labels of letters, digits and hyphens.
pub(crate) fn is_name(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|label| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        })
}

/// Whether the host is an enterprise's own: a token for GitHub is not for it.
pub(crate) fn is_enterprise(name: &str) -> bool {
    name != GITHUB && !name.ends_with(TENANTS)
}

/// Whether an address without TLS is this machine's own.
pub(crate) fn is_here(address: &str) -> bool {
    let Some(rest) = address.strip_prefix("http://") else {
        return false;
    };
    let server = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (host, port) = server.rsplit_once(':').unwrap_or((server, "80"));
    matches!(host, "127.0.0.1" | "localhost") && port.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(named: &str) -> Result<Hosts, BadHosts> {
        Hosts::read(&[(HOSTS.to_owned(), named.to_owned())])
    }

    #[test]
    fn github_itself_can_be_asked_elsewhere() {
        let of = |api: &str| Hosts::read(&[("AO_GITHUB_API".to_owned(), api.to_owned())]);
        let here = of("http://127.0.0.1:7/api/v3")
            .unwrap()
            .get("github.com")
            .unwrap();
        assert_eq!(
            (here.origin.as_str(), here.rest.as_str()),
            ("http://127.0.0.1:7", "/api/v3")
        );
        assert_eq!(
            of(" ").unwrap().get("github.com").unwrap().origin,
            "https://api.github.com"
        );
        let refused = of("http://elsewhere.example").unwrap_err().to_string();
        assert_eq!(
            refused,
            "AO_GITHUB_API: `http://elsewhere.example` is neither https nor on this machine"
        );
    }

    #[test]
    fn each_host_is_asked_where_its_api_is() {
        let hosts = hosts(
            "GHE.corp.example, other.example=https://api.other.example:8443/base/, \
             here.example=http://127.0.0.1:9/api/v3/,",
        )
        .unwrap();
        let asked = |name: &str| {
            let host = hosts.get(name)?;
            Some(format!(
                "{}: {} {} {}",
                host.name, host.origin, host.rest, host.graphql
            ))
        };
        for (name, wanted) in [
            ("github.com", "github.com: https://api.github.com  /graphql"),
            ("SSH.github.com", "github.com: https://api.github.com  /graphql"),
            ("acme.ghe.com", "acme.ghe.com: https://api.acme.ghe.com  /graphql"),
            (
                "ghe.corp.example",
                "ghe.corp.example: https://ghe.corp.example /api/v3 /api/graphql",
            ),
            (
                "other.example",
                "other.example: https://api.other.example:8443 /base /base/graphql",
            ),
            (
                "here.example",
                "here.example: http://127.0.0.1:9 /api/v3 /api/graphql",
            ),
        ] {
            assert_eq!(asked(name).as_deref(), Some(wanted));
        }
        for unknown in [
            "",
            "gitlab.com",
            "ghe.com",
            ".ghe.com",
            "a.b.ghe.com",
            "acme.ghe.com.example",
            "notgithub.com",
        ] {
            assert_eq!(hosts.get(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn a_host_that_is_not_understood_is_said() {
        for (bad, why) in [
            ("https://ghe.example", "is not a host"),
            ("ghe..example", "is not a host"),
            ("=https://x", "is not a host"),
            (
                "a.example=http://a.example/api/v3",
                "neither https nor on this machine",
            ),
            ("a.example=", "neither https nor on this machine"),
            ("a.example=https://", "is not an address"),
            (
                "a.example=https://user@b.example",
                "more than an address and a path",
            ),
            ("a.example=https://b.example?x", "more than an address and a path"),
            ("a.example,A.example", "named twice"),
        ] {
            let said = hosts(bad).unwrap_err().to_string();
            assert!(
                said.starts_with("AO_GITHUB_HOSTS: ") && said.contains(why),
                "{bad}: {said}"
            );
        }
        let both = hosts("a b, c d").unwrap_err().to_string();
        assert!(both.contains("`a b`") && both.contains("`c d`"), "{both}");
    }

    #[test]
    fn the_address_of_github_itself_can_be_another() {
        let hosts = hosts("github.com=http://127.0.0.1:9").unwrap();
        let host = hosts.get("ssh.github.com").unwrap();
        assert_eq!(
            (host.origin.as_str(), host.graphql.as_str()),
            ("http://127.0.0.1:9", "/graphql")
        );
        assert!(
            !is_enterprise("github.com")
                && !is_enterprise("acme.ghe.com")
                && is_enterprise("ghe.corp.example")
        );
    }
}
