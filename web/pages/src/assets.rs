//! Styles, scripts and icons, embedded in the binary. Their addresses hold a hash over all of them, so that browsers
//! may keep them for ever and the parts of a page always fit together.

use std::io::Read as _;

use actix_web::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, VARY,
};
use flate2::read::GzDecoder;
use flowlord_web_core::route::ANYONE;

use crate::prelude::*;

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::get("/assets/{build}/{name:.*}", ANYONE, asset).local()]
}

/// A file, compressed when the program was built.
struct EmbeddedFile {
    name: &'static str,
    gzip: &'static [u8],
    /// None of what is large.
    brotli: Option<&'static [u8]>,
}

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

pub(crate) fn url(name: &str) -> String {
    format!("/assets/{BUILD}/{name}")
}

/// Where pages find the scripts: the one that they start, and those that it needs.
pub(crate) fn scripts() -> impl Iterator<Item = String> {
    FILES.iter().filter(|file| file.name.starts_with("js/")).map(|file| url(file.name))
}

/// One asset, in the smallest form that the browser takes.
pub(crate) async fn asset(request: HttpRequest, path: Path<(String, String)>) -> Answer {
    let (build, name) = path.into_inner();
    // A file of another build may not fit the page that named it.
    let file = FILES
        .iter()
        .find(|file| build == BUILD && file.name == name)
        .ok_or_else(|| Problem::new(Code::NotFound, "there is no such asset: reload the page that named it"))?;
    let mut answer = HttpResponse::Ok();
    answer
        .insert_header((CONTENT_TYPE, HeaderValue::from_static(media_type(file.name))))
        // The hash in the address changes with the content: nobody needs to ask again.
        .insert_header((CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")))
        // A cache between must not give gzip to a client that takes none.
        .insert_header((VARY, HeaderValue::from_static("accept-encoding")));
    let brotli = file.brotli.filter(|_| accepts(request.headers(), "br"));
    let gzip = Some(file.gzip).filter(|_| accepts(request.headers(), "gzip"));
    let encoding = match (brotli, gzip) {
        (Some(_), _) => "br",
        (None, Some(_)) => "gzip",
        (None, None) => "identity",
    };
    answer.insert_header((CONTENT_ENCODING, HeaderValue::from_static(encoding)));
    match brotli.or(gzip) {
        Some(packed) => Ok(answer.body(packed)),
        None => Ok(answer.body(unpacked(file)?)),
    }
}

/// The few clients that take no compression are worth the work, not a second copy in the program.
fn unpacked(file: &EmbeddedFile) -> Result<Vec<u8>, Problem> {
    let mut plain = Vec::new();
    GzDecoder::new(file.gzip)
        .read_to_end(&mut plain)
        .map_err(|err| Problem::new(Code::Internal, format!("the asset can't be unpacked: {err}")))?;
    Ok(plain)
}

/// Whether a client names an encoding, and not with a weight of zero.
fn accepts(headers: &HeaderMap, encoding: &str) -> bool {
    let accepted = headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepted.split(',').any(|part| {
        let (name, weight) = part.split_once(';').unwrap_or((part, ""));
        let refused = weight.trim().strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0));
        name.trim().eq_ignore_ascii_case(encoding) && !refused
    })
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("js") => "text/javascript; charset=utf-8",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use sha2::{Digest as _, Sha256};

    use super::*;

    #[test]
    fn an_encoding_is_used_where_it_is_taken() {
        for (header, br, gzip) in [
            ("", false, false),
            ("gzip, deflate, br", true, true),
            ("br;q=0, gzip;q=0.5", false, true),
            ("GZIP;q=0.0", false, false),
            ("brr", false, false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(header));
            assert_eq!((accepts(&headers, "br"), accepts(&headers, "gzip")), (br, gzip), "{header}");
        }
    }

    #[test]
    fn all_that_a_page_loads_is_small() {
        let loaded = FILES.iter().filter(|file| !file.name.starts_with("licenses/"));
        let weight: usize = loaded.filter_map(|file| Some(file.brotli?.len())).sum();
        assert!(weight < 40_000, "{weight} bytes compressed");
    }

    /// Names of custom properties in a sheet: those behind `open`, up to one of `ends`.
    fn properties<'a>(sheet: &'a str, open: &str, ends: &[char]) -> BTreeSet<&'a str> {
        let behind = sheet.split(open).skip(1);
        behind.map(|rest| rest.split(ends).next().unwrap_or_default()).collect()
    }

    #[test]
    fn each_colour_size_and_icon_is_used_and_each_that_is_used_is_there() {
        let file = FILES.iter().find(|file| file.name == "style.css").unwrap();
        let sheet = String::from_utf8(unpacked(file).unwrap()).unwrap();
        let defined = properties(&sheet, " --", &[':']);
        let used = properties(&sheet, "var(--", &[')', ',']);
        assert!(defined.len() > 60, "{defined:?}");
        assert_eq!(defined.difference(&used).collect::<Vec<_>>(), Vec::<&&str>::new(), "nothing uses them");
        assert_eq!(used.difference(&defined).collect::<Vec<_>>(), Vec::<&&str>::new(), "they are not defined");
    }

    #[test]
    fn the_console_is_what_its_note_says() {
        let note = include_str!("../../../assets/console/README.md");
        for name in ["swagger-ui-bundle.js", "swagger-ui.css"] {
            let file = FILES.iter().find(|file| file.name == format!("console/{name}")).unwrap();
            let sum = Sha256::digest(unpacked(file).unwrap());
            let sum: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
            assert!(note.contains(&format!("{sum}  {name}\n")), "{name}: {sum}");
        }
        let weight: usize = FILES.iter().filter(|file| file.brotli.is_none()).map(|file| file.gzip.len()).sum();
        assert!(weight < 520_000, "{weight} bytes compressed");
    }
}
