//! Pages of a listing, sifted: one key that can't be a path would else make the library refuse the whole page.

use std::pin::Pin;

use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use object_store::{ClientOptions, Result};

use crate::entry::find_path_problem;

/// The keys of a page that can't be paths, each with why; passed on beside the page.
#[derive(Debug, Clone, Default)]
pub(crate) struct SiftedKeys(pub(crate) Vec<(String, &'static str)>);

#[derive(Debug)]
pub(crate) struct SiftingConnector;

impl HttpConnector for SiftingConnector {
    fn connect(&self, options: &ClientOptions) -> Result<HttpClient> {
        Ok(HttpClient::new(SiftingService(ReqwestConnector::default().connect(options)?)))
    }
}

#[derive(Debug)]
struct SiftingService(HttpClient);

type ServiceAnswer<'a> = Pin<Box<dyn Future<Output = std::result::Result<HttpResponse, HttpError>> + Send + 'a>>;

impl HttpService for SiftingService {
    fn call<'a, 'b>(&'a self, request: HttpRequest) -> ServiceAnswer<'b>
    where
        'a: 'b,
        Self: 'b,
    {
        let is_listing = request.uri().query().is_some_and(|query| query.contains("list-type=2"));
        Box::pin(async move {
            let response = self.0.execute(request).await?;
            if is_listing && response.status().is_success() { sift_response(response).await } else { Ok(response) }
        })
    }
}

async fn sift_response(response: HttpResponse) -> std::result::Result<HttpResponse, HttpError> {
    let (mut parts, body) = response.into_parts();
    let body = body.bytes().await?;
    let Ok(text) = std::str::from_utf8(&body) else {
        return Ok(HttpResponse::from_parts(parts, body.into()));
    };
    let (page, keys) = sift_page(text);
    // It is that of the page before.
    parts.headers.remove("content-length");
    parts.extensions.insert(keys);
    Ok(HttpResponse::from_parts(parts, page.into()))
}

/// Takes out of a page the keys that can't be paths, and markers of folders, which are no files.
fn sift_page(page: &str) -> (String, SiftedKeys) {
    let (mut kept, mut keys) = (String::with_capacity(page.len()), SiftedKeys::default());
    let mut rest = page;
    while let Some((start, tag, name)) = next_entry(rest) {
        let end_tag = format!("</{tag}>");
        let Some(length) = rest.get(start..).and_then(|entry| entry.find(&end_tag)) else { break };
        let end = start + length + end_tag.len();
        let (before, entry, after) = (&rest[..start], &rest[start..end], &rest[end..]);
        kept.push_str(before);
        rest = after;
        let key = unescape_xml(element_text(entry, name));
        // Consoles make such keys when people create a folder.
        if tag == "Contents" && key.ends_with('/') {
            continue;
        }
        let path = key.strip_suffix('/').unwrap_or(&key);
        match find_path_problem(path).filter(|_| !key.is_empty()) {
            Some(why) => keys.0.push((key, why)),
            None => kept.push_str(entry),
        }
    }
    kept.push_str(rest);
    (kept, keys)
}

/// Where the next entry begins, what it is called, and what its key is called.
fn next_entry(page: &str) -> Option<(usize, &'static str, &'static str)> {
    let file = page.find("<Contents>").map(|at| (at, "Contents", "Key"));
    let folder = page.find("<CommonPrefixes>").map(|at| (at, "CommonPrefixes", "Prefix"));
    file.into_iter().chain(folder).min()
}

fn element_text<'a>(entry: &'a str, name: &str) -> &'a str {
    let text = entry.split_once(&format!("<{name}>")).map_or("", |(_, rest)| rest);
    text.split_once(&format!("</{name}>")).map_or("", |(text, _)| text)
}

fn unescape_xml(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let known = after.split_once(';').and_then(|(name, after)| Some((named_character(name)?, after)));
        (rest, _) = match known {
            Some((c, after)) => (after, out.push(c)),
            None => (after, out.push('&')),
        };
    }
    out + rest
}

fn named_character(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        number => {
            let number = number.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_cant_be_paths_are_taken_out_of_a_page_and_told() {
        let file = |key: &str| format!("<Contents><Key>{key}</Key><Size>1</Size></Contents>");
        let folder = |key: &str| format!("<CommonPrefixes><Prefix>{key}</Prefix></CommonPrefixes>");
        let page = |entries: &[String]| format!("<L><Prefix>p//</Prefix>{}<T>t</T></L>", entries.concat());
        let good = [file("a/b&amp;c.csv"), folder("p/"), file("d&lt;e"), file("&#252;.csv")];
        let odd = [
            file("p//x.csv"),
            folder("p//"),
            file("Icon&#13;"),
            file("Icon&#xD;"),
            file("/x.csv"),
            file("a/./b"),
            folder("/"),
        ];
        let [a, b, c, d] = good.clone();
        let mixed = [&[a, odd[0].clone(), b], &odd[1..], &[file("orders/x/"), file("p//"), c, d]].concat();
        let (kept, keys) = sift_page(&page(&mixed));
        assert_eq!(kept, page(&good));
        let keys: Vec<_> = keys.0.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["p//x.csv", "p//", "Icon\r", "Icon\r", "/x.csv", "a/./b", "/"]);
    }

    #[test]
    fn a_page_that_isnt_one_stays_as_it_is() {
        for text in ["", "<L/>", "<Contents><Key>a//b</Key>", "<Contents></Contents>", "no & page"] {
            assert_eq!(sift_page(text).0, text);
        }
    }
}
