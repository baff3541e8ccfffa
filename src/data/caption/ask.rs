//! An OpenAI-compatible service, asked until it answers.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};
use ureq::Agent;
use ureq::http::{HeaderValue, Uri};
use wan_alpha_take::counted::counted;

use super::answer::{CaptionAnswer, cut, refusal};
use crate::args::{CaptionSet, OneLanguage};
use crate::error_text::in_words;
use crate::exit::{Exit, OrExit};

/// No wait is longer, whatever a service asks for.
const LONGEST_WAIT: Duration = Duration::from_secs(120);
/// How soon Ctrl-C ends a wait.
const LOOK_UP: Duration = Duration::from_millis(50);

const ENGLISH: &str = "\
You describe short videos for training a text-to-video model that makes videos with transparent \
backgrounds. You see frames of one video in order, its transparent part filled with gray. Answer \
with one JSON object and nothing else: {\"long\": …, \"short\": …, \"labels\": {\"style\": …, \
\"shot\": …, \"subject\": …, \"color\": …, \"motion\": …, \"opacity\": …}}. \"long\" is two to four \
sentences in English: the first says that the background of this video is transparent, the second \
names the style and the size of the shot (close-up, medium shot, full shot), the others describe \
the subject, its colors, its material, how it moves, and what of it is see-through. \"short\" is \
one phrase of at most fifteen words in English about the subject alone. Labels are one to three \
words in English each. Never mention the gray.";

const CHINESE: &str = "\
You describe short videos for training a text-to-video model that makes videos with transparent \
backgrounds. You see frames of one video in order, its transparent part filled with gray. Answer \
with one JSON object and nothing else: {\"long\": …, \"short\": …, \"labels\": {\"style\": …, \
\"shot\": …, \"subject\": …, \"color\": …, \"motion\": …, \"opacity\": …}}. \"long\" is two to four \
sentences in simplified Chinese: the first is 该视频的背景是透明的。, the second names the style \
and the size of the shot (特写, 近景, 中景, 全景), the others describe the subject, its colors, \
its material, how it moves, and what of it is see-through. \"short\" is one phrase of at most thirty \
characters in simplified Chinese about the subject alone. Labels are one to three words in English \
each. Never mention the gray.";

pub(super) struct Service {
    agent: Agent,
    url: String,
    authorization: Option<HeaderValue>,
    model: String,
    instructions: &'static str,
    retries: u32,
    wait: Duration,
}

/// What comes of asking for a row.
pub(super) enum CaptionOutcome {
    Answered(CaptionAnswer),
    /// The service does not want these pictures, or makes nothing of them: why. The next row may do.
    Declined(String),
}

/// Why a request did not bring an answer.
enum RequestFailure {
    /// It may the next time; not before so long, if the service says so.
    Passing(anyhow::Error, Option<Duration>),
    /// What was answered is no caption; it may be the next time.
    Unusable(anyhow::Error),
    /// Of these pictures the service has no more to say than this.
    Declined(String),
    /// Whatever it is asked, it would fail again.
    Lasting(anyhow::Error),
}

impl Service {
    pub(super) fn new(args: &CaptionSet, key: Option<String>) -> Result<Self> {
        let base = args.endpoint.trim_end_matches('/');
        let uri: Uri = base
            .parse()
            .with_context(|| format!("--endpoint {base} is no URL: expected http(s)://…/v1"))?;
        ensure!(
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some(),
            "--endpoint {base} is no URL: expected http(s)://…/v1"
        );
        let authorization = key.map(|key| {
            let value = HeaderValue::from_str(&format!("Bearer {key}"));
            value
                .map_err(|_| anyhow!("the key holds what no HTTP header may: is it the whole key?"))
        });
        let mut authorization = authorization.transpose()?;
        if let Some(value) = &mut authorization {
            // So that no message shows it.
            value.set_sensitive(true);
        }
        let agent = Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(args.timeout)))
            .http_status_as_error(false)
            .build()
            .into();
        Ok(Self {
            agent,
            url: format!("{base}/chat/completions"),
            authorization,
            model: args.model.clone(),
            instructions: match args.language {
                OneLanguage::En => ENGLISH,
                OneLanguage::Zh => CHINESE,
            },
            retries: args.retries,
            wait: Duration::from_millis(args.wait),
        })
    }

    /// Shows pictures, as data URLs, until there is an answer, as long as `go_on` says so.
    pub(super) fn ask(
        &self,
        pictures: &[String],
        go_on: &dyn Fn() -> bool,
    ) -> Result<CaptionOutcome> {
        let body = self.body(pictures).to_string();
        let mut wait = self.wait;
        for attempt in 0.. {
            if !go_on() {
                break;
            }
            let last = attempt == self.retries;
            let (error, asked) = match self.once(&body) {
                Ok(answer) => return Ok(CaptionOutcome::Answered(answer)),
                Err(RequestFailure::Lasting(error)) => return Err(error).or_exit(Exit::BadInput),
                Err(RequestFailure::Declined(reason)) => {
                    return Ok(CaptionOutcome::Declined(reason));
                }
                Err(RequestFailure::Unusable(error)) if last => {
                    return Ok(CaptionOutcome::Declined(format!("{error:#}")));
                }
                Err(RequestFailure::Unusable(error)) => (error, None),
                Err(RequestFailure::Passing(error, asked)) => (error, asked),
            };
            if last {
                return Err(error.context(format!(
                    "{} gave no answer in {} attempts",
                    self.url,
                    attempt + 1
                )));
            }
            log::info!("{}: {}; asking again", self.url, in_words(&error));
            pause(asked.unwrap_or(wait).min(LONGEST_WAIT), go_on);
            wait = (wait * 2).min(LONGEST_WAIT);
        }
        Err(anyhow!("cancelled while captioning")).or_exit(Exit::Cancelled)
    }

    fn body(&self, pictures: &[String]) -> Value {
        let mut content = vec![json!({
            "type": "text",
            "text": format!("{} of the video:", counted(pictures.len(), "frame")),
        })];
        let picture = |url: &String| json!({ "type": "image_url", "image_url": { "url": url } });
        content.extend(pictures.iter().map(picture));
        json!({
            "model": self.model,
            "temperature": 0,
            "messages": [
                { "role": "system", "content": self.instructions },
                { "role": "user", "content": content },
            ],
        })
    }

    fn once(&self, body: &str) -> Result<CaptionAnswer, RequestFailure> {
        let passing = |error: anyhow::Error| RequestFailure::Passing(error, None);
        let mut request = self.agent.post(&self.url).header("content-type", "application/json");
        if let Some(value) = &self.authorization {
            request = request.header("authorization", value);
        }
        let mut response = request.send(body).map_err(|error| passing(error.into()))?;
        let status = response.status().as_u16();
        let after = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let after = after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        let text = response.body_mut().read_to_string().map_err(|error| passing(error.into()))?;
        match status {
            200..300 => match refusal(&text) {
                Some(reason) => Err(RequestFailure::Declined(reason)),
                None => CaptionAnswer::of(&text).map_err(|error| {
                    RequestFailure::Unusable(error.context("the answer cannot be used"))
                }),
            },
            // What services say of pictures that are too large, or against their rules.
            400 | 403 | 413 | 415 | 422 | 451 => {
                Err(RequestFailure::Declined(format!("it answers {status}: {}", cut(&text))))
            }
            408 | 409 | 425 | 429 | 500.. => {
                Err(RequestFailure::Passing(anyhow!("it answers {status}: {}", cut(&text)), after))
            }
            _ => Err(RequestFailure::Lasting(anyhow!(
                "{} answers {status}: {}",
                self.url,
                cut(&text)
            ))),
        }
    }
}

/// Waits, unless there is no more reason to.
fn pause(time: Duration, go_on: &dyn Fn() -> bool) {
    let begun = Instant::now();
    while let Some(left) = time.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) {
        if !go_on() {
            return;
        }
        thread::sleep(left.min(LOOK_UP));
    }
}
