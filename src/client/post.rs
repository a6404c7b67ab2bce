//! One request: a body -> an answer, or why there is none. The only file that names the HTTP client.

use crate::answer::Answer;
use std::time::Duration;

/// Of an answer's body no more than this is read.
const LONGEST_ANSWER: u64 = 4 << 20;

/// Posts to one address, over a connection that is kept.
pub(crate) struct Post {
    agent: ureq::Agent,
    address: String,
    headers: Vec<(String, String)>,
    gzip: bool,
}

impl Post {
    /// `timeout` is for all of a request.
    pub(crate) fn new(
        address: String,
        headers: Vec<(String, String)>,
        gzip: bool,
        timeout: Duration,
    ) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            // Who answers with another place is not who takes events.
            .max_redirects(0)
            .max_redirects_will_error(false)
            // Where events go is said by the program, not by its environment.
            .proxy(None)
            .user_agent(concat!("sparkngin-client/", env!("CARGO_PKG_VERSION")));
        Self { agent: config.build().into(), address, headers, gzip }
    }

    /// The answer to a body of lines; an error when none came, or not all of it: then nobody knows.
    pub(crate) fn send(&self, lines: &[u8]) -> Result<Answer, String> {
        let mut request =
            self.agent.post(&self.address).header("Content-Type", "application/x-ndjson");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let packed;
        let body = if self.gzip {
            packed = pack(lines).map_err(|error| format!("gzip: {error}"))?;
            request = request.header("Content-Encoding", "gzip");
            &packed
        } else {
            lines
        };
        let mut response = request.send(body).map_err(|error| error.to_string())?;
        let headers = response.headers();
        let retry_after =
            headers.get("retry-after").and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let receipt = headers.contains_key("sparkngin-receipt");
        let status = response.status().as_u16();
        let reading = response.body_mut().with_config().limit(LONGEST_ANSWER).read_to_vec();
        // A success is one, whatever follows its head; but a list that is cut off is none.
        let body = match reading {
            Ok(body) => body,
            Err(_) if matches!(status, 200..=206 | 208..=299) => Vec::new(),
            Err(error) => return Err(error.to_string()),
        };
        Ok(Answer { status, retry_after: retry_after.map(Duration::from_secs), receipt, body })
    }
}

#[cfg(feature = "gzip")]
fn pack(lines: &[u8]) -> std::io::Result<Vec<u8>> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(lines)?;
    encoder.finish()
}

#[cfg(not(feature = "gzip"))]
fn pack(lines: &[u8]) -> std::io::Result<Vec<u8>> {
    Ok(lines.to_vec()) // which nobody calls: there is no `Builder::gzip`
}
