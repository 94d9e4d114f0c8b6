//! The last touch of an answer: its tag, so that a list that didn't change isn't sent again, and compression of what is
//! large. What workers get is neither: it is small, and asked for by POST.

use std::hash::{DefaultHasher, Hasher as _};
use std::io::Write as _;

use actix_web::body::{BoxBody, MessageBody as _};
use actix_web::dev::ServiceResponse;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::web::Bytes;

// A smaller answer fits into a packet or two as it is.
const MIN_COMPRESSED: usize = 1_400;

/// A function that compresses; none where it can't.
type Compress = fn(&[u8]) -> Option<Vec<u8>>;

/// In the order in which they are chosen.
const CODINGS: [(&str, Compress); 2] = [("br", brotli), ("gzip", gzip)];

// Fast: an answer is made once and sent once.
const GZIP_LEVEL: u32 = 3;
const BROTLI_LEVEL: u32 = 3;
// As large as the answers are: 2 to the 18th are 256 KiB.
const BROTLI_WINDOW: u32 = 18;

/// Tags and compresses what was read, where that is of use.
pub(crate) fn encode(answer: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    let method = answer.request().method();
    if answer.status() != StatusCode::OK || (*method != Method::GET && *method != Method::HEAD) {
        return answer;
    }
    if answer.headers().contains_key(header::CONTENT_ENCODING) {
        return answer;
    }
    let asked = AcceptedEncoding::of(answer.request().headers());
    let mut is_unchanged = false;
    let mut answer = answer.map_body(|head, body| {
        let bytes = match body.try_into_bytes() {
            Ok(bytes) => bytes,
            // It goes on: nobody knows what comes.
            Err(body) => return body,
        };
        if has_type(&head.headers, b"application/json") && !head.headers.contains_key(header::ETAG) {
            let tag = weak_tag(&bytes);
            is_unchanged = asked.knows_tag(&tag);
            set_header(&mut head.headers, header::ETAG, &tag);
            set_header(&mut head.headers, header::CACHE_CONTROL, "private, no-cache");
            if is_unchanged {
                return BoxBody::new(());
            }
        }
        compressed_body(&asked, &mut head.headers, bytes)
    });
    if is_unchanged {
        *answer.response_mut().status_mut() = StatusCode::NOT_MODIFIED;
        answer.headers_mut().remove(header::CONTENT_TYPE);
    }
    answer
}

struct AcceptedEncoding {
    coding: Option<(&'static str, Compress)>,
    known_tags: Vec<String>,
}

impl AcceptedEncoding {
    fn of(headers: &HeaderMap) -> Self {
        let accepted: Vec<&str> = items_of(headers, header::ACCEPT_ENCODING).filter_map(accepted_name).collect();
        let coding = CODINGS.into_iter().find(|(name, _)| accepted.iter().any(|one| one.eq_ignore_ascii_case(name)));
        Self { coding, known_tags: items_of(headers, header::IF_NONE_MATCH).map(str::to_owned).collect() }
    }

    fn knows_tag(&self, tag: &str) -> bool {
        self.known_tags.iter().any(|known| known == "*" || without_weakness(known) == without_weakness(tag))
    }
}

/// The items of all lines of a header.
fn items_of(headers: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(name).filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

/// The name of a coding, unless a quality of zero refuses it.
fn accepted_name(item: &str) -> Option<&str> {
    let mut parts = item.split(';').map(str::trim);
    let name = parts.next();
    let qualities = parts.filter_map(|part| part.strip_prefix("q="));
    name.filter(|_| !qualities.into_iter().any(|quality| quality.trim_matches(['0', '.']).is_empty()))
}

fn without_weakness(tag: &str) -> &str {
    // `If-None-Match` compares weakly (RFC 9110), whatever a proxy made of the mark.
    tag.strip_prefix("W/").unwrap_or(tag)
}

fn weak_tag(bytes: &[u8]) -> String {
    // Weak: the same content may be sent compressed or not.
    // A collision would show somebody an old list; 64 bits of one client's own answers don't collide by chance.
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    format!("W/\"{:016x}\"", hasher.finish())
}

fn compressed_body(asked: &AcceptedEncoding, headers: &mut HeaderMap, bytes: Bytes) -> BoxBody {
    let texts: [&[u8]; 4] = [b"application/json", b"text/html", b"text/plain", b"application/toml"];
    if bytes.len() < MIN_COMPRESSED || !texts.iter().any(|kind| has_type(headers, kind)) {
        return BoxBody::new(bytes);
    }
    // Also of what isn't compressed: a cache must not hand it to those who can read less, or more.
    headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
    let smaller = asked.coding.and_then(|(name, compress)| Some((name, compress(&bytes)?)));
    let Some((name, smaller)) = smaller else { return BoxBody::new(bytes) };
    set_header(headers, header::CONTENT_ENCODING, name);
    BoxBody::new(Bytes::from(smaller))
}

fn gzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let out = Vec::with_capacity(bytes.len() / 4);
    let mut writer = flate2::write::GzEncoder::new(out, flate2::Compression::new(GZIP_LEVEL));
    writer.write_all(bytes).ok()?;
    writer.finish().ok()
}

fn brotli(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len() / 4);
    let mut writer = brotli::CompressorWriter::new(&mut out, 4_096, BROTLI_LEVEL, BROTLI_WINDOW);
    writer.write_all(bytes).ok()?;
    drop(writer);
    Some(out)
}

/// Whether the content is of a type, whatever its charset.
fn has_type(headers: &HeaderMap, kind: &[u8]) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(kind))
}

fn set_header(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use actix_web::test::TestRequest;

    use super::*;
    use crate::tests::stub::{Stub, attempt};
    use flowlord_messages::tasks::TaskPage;

    fn listing(tasks: i64) -> Stub {
        let stub = Stub::default();
        stub.find_tasks(move |_| Ok(TaskPage { tasks: (0..tasks).map(attempt).collect(), ..TaskPage::default() }));
        stub
    }

    async fn get(stub: &Stub, headers: &[(&str, &str)]) -> (u16, HeaderMap, Vec<u8>) {
        let mut request = TestRequest::get().uri("/api/v1/tasks");
        for (name, value) in headers {
            request = request.insert_header((*name, *value));
        }
        let service = actix_web::test::init_service(crate::app::app(stub.context())).await;
        let response = actix_web::test::call_service(&service, request.to_request()).await;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = actix_web::body::to_bytes(response.into_body()).await.unwrap();
        (status, headers, body.to_vec())
    }

    #[actix::test]
    async fn what_did_not_change_is_not_sent_again() {
        let stub = listing(2);
        let (status, headers, body) = get(&stub, &[]).await;
        let tag = headers.get("etag").unwrap().to_str().unwrap().to_owned();
        assert!(status == 200 && tag.starts_with("W/\"") && !body.is_empty());
        assert_eq!(headers.get("cache-control").unwrap(), "private, no-cache");
        for known in [tag.clone(), tag.trim_start_matches("W/").to_owned(), format!("\"x\", {tag}"), "*".to_owned()] {
            let (status, headers, body) = get(&stub, &[("if-none-match", &known)]).await;
            assert_eq!((status, body.len(), headers.get("etag").unwrap().to_str().unwrap()), (304, 0, tag.as_str()));
        }
        assert_eq!(get(&listing(3), &[("if-none-match", &tag)]).await.0, 200);
    }

    #[actix::test]
    async fn what_is_large_is_compressed_for_those_who_can_read_it() {
        let (stub, small) = (listing(50), listing(1));
        let (_, _, plain) = get(&stub, &[]).await;
        let (_, headers, gzip) = get(&stub, &[("accept-encoding", "gzip, deflate")]).await;
        assert_eq!(headers.get("content-encoding").unwrap(), "gzip");
        assert_eq!(headers.get("vary").unwrap(), "accept-encoding");
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(&gzip[..]).read_to_end(&mut text).unwrap();
        assert!(text == plain && gzip.len() * 4 < plain.len(), "{} of {}", gzip.len(), plain.len());
        let (_, headers, br) = get(&stub, &[("accept-encoding", "gzip, br;q=0.9")]).await;
        assert_eq!(headers.get("content-encoding").unwrap(), "br");
        let mut text = Vec::new();
        brotli::Decompressor::new(&br[..], 4_096).read_to_end(&mut text).unwrap();
        assert!(text == plain && br.len() * 4 < plain.len(), "{} of {}", br.len(), plain.len());
        for (stub, accepted) in [(&stub, "identity"), (&stub, "gzip;q=0, br;q=0.0"), (&small, "gzip, br")] {
            let (_, headers, _) = get(stub, &[("accept-encoding", accepted)]).await;
            assert!(!headers.contains_key("content-encoding"), "{accepted}");
        }
    }
}
