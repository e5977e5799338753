//! Names become addresses here, and link-local ones may be left out: a name may lead to such an address, and
//! may lead there only at the second look. So this is checked for the addresses that are connected to.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::Name;

use super::link_local::is_link_local;

/// The system's resolver.
#[derive(Clone, Copy, Debug)]
pub enum Names {
    /// Every address of a name: whoever runs the program named it.
    Any,
    /// Those that are not link-local: the name is of a configuration.
    NotLinkLocal,
}

impl Names {
    /// The addresses of a name, with port 0. Errors: the name is not known, or has refused addresses alone.
    pub async fn addresses(self, name: &str) -> io::Result<Vec<SocketAddr>> {
        let found: Vec<SocketAddr> = tokio::net::lookup_host((name, 0)).await?.collect();
        let is_refused = |at: &SocketAddr| matches!(self, Self::NotLinkLocal) && is_link_local(at.ip());
        let reached: Vec<SocketAddr> = found.iter().copied().filter(|at| !is_refused(at)).collect();
        if reached.is_empty() && !found.is_empty() {
            return Err(io::Error::other("it leads to a link-local address, which is refused"));
        }
        Ok(reached)
    }
}

impl tower_service::Service<Name> for Names {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let names = *self;
        Box::pin(async move { Ok(names.addresses(name.as_str()).await?.into_iter()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_that_leads_to_the_link_is_refused() {
        let addresses = async |name| Names::NotLinkLocal.addresses(name).await;
        let refused = addresses("169.254.169.254").await.unwrap_err();
        assert_eq!(refused.to_string(), "it leads to a link-local address, which is refused");
        assert!(!addresses("localhost").await.unwrap().is_empty());
        assert_eq!(Names::Any.addresses("169.254.169.254").await.unwrap().len(), 1);
    }
}
