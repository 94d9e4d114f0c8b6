//! An object store that tests break: it speaks S3 and the XML of GCS as far as flowlord does, over plain HTTP.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use actix_web::dev::ServerHandle;
use actix_web::http::{Method, StatusCode};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use chrono::DateTime;

/// The name of the access key that [`FakeStore`] takes when requests are signed.
pub const ACCESS_KEY: &str = "FLOWLORDTEST";

/// How many files a page of a listing has, unless a test asks for more: few, so that tests turn pages.
const PAGE: usize = 3;

/// As much is taken at once.
const MOST: usize = 16 * 1024 * 1024;

/// A request that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreRequest {
    /// GET, HEAD, PUT, POST or DELETE.
    pub method: String,
    /// The bucket and the file in it; the bucket alone for a listing.
    pub path: String,
}

/// A store of files in memory, on a thread of its own. It ends when it is dropped.
#[derive(Debug)]
pub struct FakeStore {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, File>,
    uploads: BTreeMap<String, BTreeMap<u32, Vec<u8>>>,
    written: u64,
    broken: Option<u16>,
    garbling: bool,
    losing_answers: bool,
    ignoring_conditions: bool,
    page: Option<usize>,
    requests: Vec<StoreRequest>,
}

#[derive(Debug, Clone)]
struct File {
    bytes: Vec<u8>,
    etag: String,
}

impl FakeStore {
    /// Starts one that is well and empty.
    ///
    /// # Panics
    /// When no port is free.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test without a port can't go on")]
    pub fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (tell, told) = mpsc::channel();
        let served = web::Data::from(Arc::clone(&shared));
        let thread = std::thread::spawn(move || {
            let serve = async move {
                let app = move || {
                    App::new()
                        .app_data(web::PayloadConfig::new(MOST))
                        .app_data(served.clone())
                        .default_service(web::to(answer))
                };
                let server = HttpServer::new(app).workers(1).disable_signals().listen(listener);
                let server = server.expect("our own port").run();
                let _nobody_waits = tell.send(server.handle());
                server.await
            };
            let _ended = actix_web::rt::System::new().block_on(serve);
        });
        let server = told.recv().expect("a fake store that listens");
        Self { address, shared, server, thread: Some(thread) }
    }

    /// Its address: what `store.s3.endpoint` or `store.gcs.endpoint` is set to.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Puts a file there; `path` begins with its bucket.
    pub fn write(&self, path: &str, bytes: impl Into<Vec<u8>>) {
        self.shared.with(|state| state.write(path, bytes.into()));
    }

    pub fn remove(&self, path: &str) {
        self.shared.with(|state| state.files.remove(path));
    }

    /// What a file holds.
    #[must_use]
    pub fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.shared.with(|state| state.files.get(path).map(|file| file.bytes.clone()))
    }

    /// Answers everything with this status from now on; none for well.
    pub fn set_broken(&self, status: Option<u16>) {
        self.shared.with(|state| state.broken = status);
    }

    /// Whether it changes a byte of what it is given from now on.
    pub fn set_garbling(&self, garbling: bool) {
        self.shared.with(|state| state.garbling = garbling);
    }

    /// Whether it does what it is asked, and answers that it failed, from now on.
    pub fn set_losing_answers(&self, losing: bool) {
        self.shared.with(|state| state.losing_answers = losing);
    }

    /// Whether it replaces files also where it is told to keep them, as some stores do.
    pub fn set_ignoring_conditions(&self, ignoring: bool) {
        self.shared.with(|state| state.ignoring_conditions = ignoring);
    }

    /// How many files a page of a listing has from now on.
    pub fn set_page(&self, files: usize) {
        self.shared.with(|state| state.page = Some(files));
    }

    /// The paths that begin with this one.
    #[must_use]
    pub fn paths(&self, start: &str) -> Vec<String> {
        self.shared.with(|state| state.files.keys().filter(|path| path.starts_with(start)).cloned().collect())
    }

    /// What came since the start or the last call of this, in order.
    #[must_use]
    pub fn take_requests(&self) -> Vec<StoreRequest> {
        self.shared.with(|state| std::mem::take(&mut state.requests))
    }
}

impl Drop for FakeStore {
    fn drop(&mut self) {
        // The command is on its way when this returns; its end is the thread's.
        drop(self.server.stop(false));
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

impl Shared {
    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn write(&mut self, path: &str, mut bytes: Vec<u8>) -> String {
        self.written += 1;
        if let Some(byte) = bytes.first_mut().filter(|_| self.garbling) {
            *byte ^= 1;
        }
        let etag = format!("\"{:032x}\"", self.written);
        self.files.insert(path.to_owned(), File { bytes, etag: etag.clone() });
        etag
    }

    fn list(&self, bucket: &str, query: &BTreeMap<String, String>) -> HttpResponse {
        let named = |key: &str| query.get(key).map_or("", String::as_str);
        let from = named("continuation-token").max(named("start-after"));
        let prefix = named("prefix");
        let slash = Some(named("delimiter")).filter(|delimiter| !delimiter.is_empty());
        // With a delimiter what lies deeper is one entry: its folder.
        let mut entries: BTreeMap<String, Option<&File>> = BTreeMap::new();
        for (path, file) in &self.files {
            let Some(key) = path.strip_prefix(bucket).and_then(|rest| rest.strip_prefix('/')) else {
                continue;
            };
            let Some(within) = key.strip_prefix(prefix) else { continue };
            match slash.and_then(|slash| within.split_once(slash)) {
                Some((folder, _)) => entries.insert(format!("{prefix}{folder}/"), None),
                None => entries.insert(key.to_owned(), Some(file)),
            };
        }
        let mut rest = entries.iter().filter(|(key, _)| key.as_str() > from).peekable();
        let mut body = String::from("<ListBucketResult>");
        let mut last = String::new();
        for (key, file) in rest.by_ref().take(self.page.unwrap_or(PAGE)) {
            last.clone_from(key);
            body.push_str(&entry(key, *file));
        }
        if rest.peek().is_some() {
            let _ = write!(body, "<NextContinuationToken>{}</NextContinuationToken>", escaped(&last));
        }
        HttpResponse::Ok().content_type("application/xml").body(body + "</ListBucketResult>")
    }

    fn upload(&mut self, method: &Method, path: &str, query: &BTreeMap<String, String>, body: &[u8]) -> HttpResponse {
        if let (Some(id), Some(part)) = (query.get("uploadId"), query.get("partNumber")) {
            let (Some(parts), Ok(part)) = (self.uploads.get_mut(id), part.parse()) else { return missing() };
            parts.insert(part, body.to_vec());
            return HttpResponse::Ok().insert_header(("etag", format!("\"part{part}\""))).finish();
        }
        let Some(id) = query.get("uploadId") else {
            let id = (self.uploads.len() + 1).to_string();
            self.uploads.insert(id.clone(), BTreeMap::new());
            return HttpResponse::Ok().body(format!(
                "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
            ));
        };
        let Some(parts) = self.uploads.remove(id) else { return missing() };
        if method == Method::DELETE {
            return HttpResponse::NoContent().finish();
        }
        let etag = self.write(path, parts.into_values().flatten().collect());
        HttpResponse::Ok().body(format!(
            "<CompleteMultipartUploadResult><ETag>{}</ETag></CompleteMultipartUploadResult>",
            escaped(&etag)
        ))
    }

    fn answer(&mut self, request: &HttpRequest, body: &[u8]) -> HttpResponse {
        let path = decoded(request.path().trim_matches('/'));
        let method = request.method().as_str().to_owned();
        self.requests.push(StoreRequest { method, path: path.clone() });
        if let Some(status) = self.broken {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let id = self.requests.len();
            return HttpResponse::build(status)
                .body(format!("<Error><Code>Broken</Code><RequestId>{id}</RequestId></Error>"));
        }
        let signed = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        if signed.is_some_and(|signed| !signed.contains(ACCESS_KEY) && signed.starts_with("AWS4")) {
            return HttpResponse::Forbidden().body("<Error><Code>InvalidAccessKeyId</Code></Error>");
        }
        let query: BTreeMap<_, _> =
            url::form_urlencoded::parse(request.query_string().as_bytes()).into_owned().collect();
        if query.contains_key("uploads") || query.contains_key("uploadId") {
            return self.upload(request.method(), &path, &query, body);
        }
        match (request.method().as_str(), self.files.get(&path)) {
            ("GET", None) if !path.contains('/') => self.list(&path, &query),
            ("GET" | "HEAD", Some(file)) => read(request, file),
            ("PUT", Some(_)) if only_creates(request) && !self.ignoring_conditions => {
                HttpResponse::PreconditionFailed().body("<Error><Code>PreconditionFailed</Code></Error>")
            }
            ("PUT", _) => {
                let etag = self.write(&path, body.to_vec());
                HttpResponse::Ok().insert_header(("etag", etag)).finish()
            }
            ("DELETE", _) => {
                self.files.remove(&path);
                HttpResponse::NoContent().finish()
            }
            _ => missing(),
        }
    }
}

async fn answer(request: HttpRequest, body: web::Bytes, shared: web::Data<Shared>) -> HttpResponse {
    shared.with(|state| {
        let answer = state.answer(&request, &body);
        if state.losing_answers { HttpResponse::BadGateway().finish() } else { answer }
    })
}

/// One entry of a listing; a folder where there is no file.
fn entry(key: &str, file: Option<&File>) -> String {
    let name = escaped(key);
    let Some(file) = file else { return format!("<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>") };
    format!(
        "<Contents><Key>{name}</Key><LastModified>2026-03-02T12:00:00.000Z</LastModified><ETag>{}</ETag>\
         <Size>{}</Size></Contents>",
        escaped(&file.etag),
        file.bytes.len()
    )
}

/// Whether a file that is there must stay, as S3 and GCS are told it.
fn only_creates(request: &HttpRequest) -> bool {
    let has = |name: &str, value: &str| request.headers().get(name).is_some_and(|found| found == value);
    has("if-none-match", "*") || has("x-goog-if-generation-match", "0")
}

fn missing() -> HttpResponse {
    HttpResponse::NotFound().body("<Error><Code>NoSuchKey</Code></Error>")
}

fn read(request: &HttpRequest, file: &File) -> HttpResponse {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    if header("if-match").is_some_and(|etag| etag != file.etag) {
        return HttpResponse::PreconditionFailed().finish();
    }
    let time = DateTime::UNIX_EPOCH.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let mut response = HttpResponse::Ok();
    response.insert_header(("etag", file.etag.clone())).insert_header(("last-modified", time));
    let size = file.bytes.len();
    let range = header("range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    let bounds = range.and_then(|(from, to)| Some((from.parse::<usize>().ok()?, to.parse::<usize>().ok()?)));
    let mut bytes = file.bytes.clone();
    if let Some((from, to)) = bounds {
        let to = to.min(size.saturating_sub(1));
        response.status(StatusCode::PARTIAL_CONTENT);
        response.insert_header(("content-range", format!("bytes {from}-{to}/{size}")));
        bytes = bytes.get(from..=to).unwrap_or_default().to_vec();
    }
    // To HEAD only the head of it is sent.
    response.body(bytes)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

/// A path without its percent signs; a plus is a plus.
fn decoded(path: &str) -> String {
    let query = format!("x={}", path.replace('+', "%2B").replace('&', "%26"));
    url::form_urlencoded::parse(query.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}
