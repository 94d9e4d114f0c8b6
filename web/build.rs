//! Embeds what browsers load: the styles gathered into one sheet, every file compressed beforehand, and one hash over
//! all of them for their address.

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

type Done<T> = Result<T, Box<dyn Error>>;

/// Bytes of the hash that go into the address.
const HASH_BYTES: usize = 6;

/// The one sheet that all styles become.
const SHEET: &str = "style.css";

fn main() -> Done<()> {
    let assets = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../assets").canonicalize()?;
    println!("cargo::rerun-if-changed={}", assets.display());
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let files = gather(&assets)?;
    let mut table = format!("const BUILD: &str = \"{}\";\n", hash(&files));
    table.push_str("static FILES: &[Embedded] = &[\n");
    for (number, (name, content)) in files.iter().enumerate() {
        let path = out.join(format!("asset-{number}"));
        write_forms(&path, content)?;
        writeln!(
            table,
            "Embedded {{ name: {name:?}, plain: include_bytes!({0:?}), gzip: include_bytes!(\"{1}.gz\"), \
             brotli: include_bytes!(\"{1}.br\") }},",
            path,
            path.display()
        )?;
    }
    table.push_str("];\n");
    fs::write(out.join("assets.rs"), table)?;
    Ok(())
}

/// Every file by its name in an address.
fn gather(assets: &Path) -> Done<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for path in listed(assets)? {
        if path.is_file() {
            files.insert(name(&path), fs::read(&path)?);
        }
    }
    for path in listed(&assets.join("js"))? {
        files.insert(format!("js/{}", name(&path)), fs::read(&path)?);
    }
    let mut sheet = Vec::new();
    for path in listed(&assets.join("css"))? {
        sheet.extend(fs::read(&path)?);
    }
    files.insert(SHEET.to_owned(), sheet);
    Ok(files)
}

/// What is in a folder, by name: the number in front of a style sheet is its place.
fn listed(folder: &Path) -> Done<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    paths.sort();
    Ok(paths)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn hash(files: &BTreeMap<String, Vec<u8>>) -> String {
    let mut hash = Sha256::new();
    for (name, content) in files {
        hash.update(name.as_bytes());
        hash.update(content.len().to_be_bytes());
        hash.update(content);
    }
    hash.finalize().iter().take(HASH_BYTES).fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// Writes a file as it is, with gzip and with brotli.
fn write_forms(path: &Path, content: &[u8]) -> Done<()> {
    fs::write(path, content)?;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(content)?;
    fs::write(path.with_extension("gz"), gzip.finish()?)?;
    let mut small = Vec::new();
    let best = brotli::enc::BrotliEncoderParams { quality: 11, lgwin: 22, ..Default::default() };
    brotli::BrotliCompress(&mut &*content, &mut small, &best)?;
    fs::write(path.with_extension("br"), small)?;
    Ok(())
}
