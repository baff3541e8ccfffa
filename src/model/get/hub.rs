//! A hub of models, asked for files by HTTP: redirects followed by hand, so that a token goes to the hub
//! alone, and what the hub says of a file before it hands over to its storage is kept.

#![forbid(unsafe_code)]

use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use ureq::Agent;
use ureq::http::{HeaderValue, Response, Uri};

use crate::exit::{Exit, OrExit};

/// Where released models lie.
pub(super) const PUBLIC: &str = "https://huggingface.co";

/// Longer chains of redirects are circles.
const REDIRECTS: usize = 8;
/// A server that does not answer for so long is asked anew.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where files are fetched from.
pub(super) struct Hub {
    agent: Agent,
    /// The address that paths are put behind, without a slash at its end.
    pub(super) address: String,
    authorization: Option<HeaderValue>,
}

/// An answer that brings a file, or the rest of one.
pub(super) struct Incoming {
    pub(super) response: Response<ureq::Body>,
    /// The SHA-256 of the whole file, where the hub has said it.
    pub(super) sha256: Option<String>,
}

/// Why a file did not come.
pub(super) enum FetchFailure {
    /// It may the next time.
    Passing(anyhow::Error),
    /// Asked again it would fail again.
    Lasting(anyhow::Error),
}

impl Hub {
    /// `mirror` stands in for the public hub. A token is sent to it and nobody else.
    pub(super) fn new(mirror: Option<&str>, token: Option<&str>) -> Result<Self> {
        let address = mirror.unwrap_or(PUBLIC).trim_end_matches('/').to_owned();
        let wrong = || format!("WAN_ALPHA_HUB={address} is no address: expected http(s)://HOST");
        let uri: Uri = address.parse().with_context(wrong)?;
        ensure!(
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some(),
            wrong()
        );
        let here = matches!(uri.host(), Some("localhost" | "127.0.0.1" | "[::1]"));
        ensure!(
            token.is_none() || here || uri.scheme_str() == Some("https"),
            "a token would go to {address} in the clear: name a hub with https, or leave the token away"
        );
        let header = |token: &str| {
            let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| {
                anyhow!("the token holds what no HTTP header may: is it the whole token?")
            })?;
            // So that no message shows it.
            value.set_sensitive(true);
            Ok::<_, anyhow::Error>(value)
        };
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_per_read(Some(PATIENCE))
            .build()
            .into();
        Ok(Self { agent, authorization: token.map(header).transpose()?, address })
    }

    /// Asks for a file from a byte on; `unchanged` is what the server called its content before, and where
    /// it calls it otherwise now the whole file comes.
    pub(super) fn ask(
        &self,
        url: &str,
        from: u64,
        unchanged: Option<&str>,
    ) -> Result<Incoming, FetchFailure> {
        let home: Uri = url.parse().map_err(|_| lasting(anyhow!("{url} is no address")))?;
        let (mut at, mut sha256) = (home.clone(), None);
        for _ in 0..REDIRECTS {
            let mut request = self.agent.get(&at);
            if from > 0 {
                request = request.header("range", format!("bytes={from}-"));
                if let Some(tag) = unchanged {
                    request = request.header("if-range", tag);
                }
            }
            let own = at.authority() == home.authority() && at.scheme() == home.scheme();
            if let Some(value) = self.authorization.as_ref().filter(|_| own) {
                request = request.header("authorization", value);
            }
            let response = request.call().map_err(|error| FetchFailure::Passing(error.into()))?;
            if own && let Some(hash) = header(&response, "x-linked-etag") {
                let hash = hash.trim_matches('"');
                sha256 = (hash.len() == 64).then(|| hash.to_lowercase()).or(sha256);
            }
            match response.status().as_u16() {
                301 | 302 | 303 | 307 | 308 => at = redirected(&at, &response)?,
                200 | 206 | 416 => return Ok(Incoming { response, sha256 }),
                status => return Err(refused(url, status, self.authorization.is_some())),
            }
        }
        Err(lasting(anyhow!("{url} is redirected more than {REDIRECTS} times")))
    }
}

/// A header of an answer, as text.
pub(super) fn header<'a>(response: &'a Response<ureq::Body>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

fn lasting(error: anyhow::Error) -> FetchFailure {
    FetchFailure::Lasting(Exit::BadInput.mark(error))
}

/// Where an answer points to; never from https to http.
fn redirected(at: &Uri, response: &Response<ureq::Body>) -> Result<Uri, FetchFailure> {
    let to = header(response, "location").unwrap_or_default();
    let wrong = || lasting(anyhow!("{at} is redirected to `{to}`, which is no address of a file"));
    let scheme = at.scheme_str().unwrap_or("https");
    let authority = at.authority().map(|authority| authority.as_str()).unwrap_or_default();
    let absolute = match to {
        _ if to.starts_with("//") => format!("{scheme}:{to}"),
        _ if to.starts_with('/') => format!("{scheme}://{authority}{to}"),
        _ => to.to_owned(),
    };
    let uri: Uri = absolute.parse().map_err(|_| wrong())?;
    let allowed = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => scheme == "http",
        _ => false,
    };
    if allowed { Ok(uri) } else { Err(wrong()) }
}

fn refused(url: &str, status: u16, with_token: bool) -> FetchFailure {
    match status {
        401 | 403 if with_token => lasting(anyhow!(
            "{url} answers {status}: the token is not one that may read it. Has its owner agreed to the \
             license on the page of the repository?"
        )),
        401 | 403 => lasting(anyhow!(
            "{url} answers {status}: it is given to known users only. Agree to its license on the page of \
             the repository, put a token of yours into a variable and name that by --token-variable"
        )),
        404 | 410 => lasting(anyhow!(
            "{url} answers {status}: the file is not there any more. Look at the page of the repository, \
             and name a list of your own by --list"
        )),
        408 | 425 | 429 | 500.. => FetchFailure::Passing(anyhow!("it answers {status}")),
        _ => lasting(anyhow!("{url} answers {status}")),
    }
}

/// What a user's variable holds.
pub(super) fn token_of(variable: &str) -> Result<String> {
    let token = crate::environment::variable(variable);
    let token = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
    token
        .ok_or_else(|| {
            anyhow!(
                "the environment variable {variable} is not set: put the token there, or leave \
                 --token-variable away"
            )
        })
        .or_exit(Exit::BadInput)
}
