//! Stylesheets and icons, embedded in the binary. Their names hold a hash of their content, so that browsers may
//! keep them for ever.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use actix_web::web::{Bytes, Path};
use flowlord_messages::Code;
use rust_embed::RustEmbed;

use crate::api::ApiRef;
use crate::problem::{Answer, Problem};

#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/../assets"]
struct Embedded;

/// Bytes of the hash that go into a name.
const HASH_BYTES: usize = 6;

/// The assets, read once.
#[derive(Debug)]
pub(crate) struct AssetTable {
    /// The path in pages of each file.
    urls: BTreeMap<String, String>,
    /// What is behind the last part of a path.
    files: BTreeMap<String, (&'static str, Bytes)>,
}

impl AssetTable {
    pub(crate) fn load() -> Self {
        let mut table = Self { urls: BTreeMap::new(), files: BTreeMap::new() };
        for name in Embedded::iter() {
            if let Some(file) = Embedded::get(&name) {
                let hashed = hashed(&name, &file.metadata.sha256_hash());
                table.urls.insert(name.to_string(), format!("/assets/{hashed}"));
                table.files.insert(hashed, (media_type(&name), Bytes::from(file.data.into_owned())));
            }
        }
        table
    }

    /// Where pages find a file.
    pub(crate) fn url(&self, name: &str) -> &str {
        self.urls.get(name).map_or("", String::as_str)
    }
}

/// `style.css` becomes `style.0123456789ab.css`.
fn hashed(name: &str, hash: &[u8]) -> String {
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, "bin"));
    let mut hashed = format!("{stem}.");
    for byte in hash.iter().take(HASH_BYTES) {
        let _ = write!(hashed, "{byte:02x}");
    }
    hashed + "." + extension
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("js") => "text/javascript; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// One asset.
pub(crate) async fn asset(api: ApiRef, name: Path<String>) -> Answer {
    let Some((kind, content)) = api.assets.files.get(name.as_str()) else {
        return Err(Problem::new(Code::NotFound, "there is no such asset: reload the page that named it"));
    };
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, HeaderValue::from_static(kind)))
        .insert_header((CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")))
        .body(content.clone()))
}
