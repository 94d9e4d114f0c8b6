//! Embeds what browsers load, compressed: the styles gathered into one sheet, the icons into one drawing, every file by
//! gzip and those of the pages by brotli, too; and one hash over all of them for their address.

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

/// The one drawing that all icons become.
const ICONS: &str = "icons.svg";

/// Each icon is a square of this side, as Lucide draws them.
const ICON_SIDE: usize = 24;

/// The folder of the console of `/api/docs`.
const CONSOLE: &str = "console";

fn main() -> Done<()> {
    let assets = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../assets").canonicalize()?;
    println!("cargo::rerun-if-changed={}", assets.display());
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let files = gather(&assets)?;
    let mut table = format!("const BUILD: &str = \"{}\";\n", hash(&files));
    table.push_str("static FILES: &[EmbeddedFile] = &[\n");
    for (number, (name, content)) in files.iter().enumerate() {
        let path = out.join(format!("asset-{number}"));
        write_forms(&path, content, is_large(name))?;
        writeln!(
            table,
            "EmbeddedFile {{ name: {name:?}, gzip: include_bytes!(\"{0}.gz\"), brotli: {1} }},",
            path.display(),
            if is_large(name) { "None".to_owned() } else { format!("Some(include_bytes!(\"{}.br\"))", path.display()) }
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
    for folder in ["js", "licenses", CONSOLE] {
        let paths = listed(&assets.join(folder))?.into_iter();
        for path in paths.filter(|path| path.extension().is_none_or(|extension| extension != "md")) {
            files.insert(format!("{folder}/{}", name(&path)), fs::read(&path)?);
        }
    }
    let mut sheet = Vec::new();
    for path in listed(&assets.join("css"))? {
        sheet.extend(fs::read(&path)?);
    }
    let (drawing, places) = join_icons(&assets.join("icons"))?;
    sheet.extend(places.into_bytes());
    files.insert(SHEET.to_owned(), sheet);
    files.insert(ICONS.to_owned(), drawing.into_bytes());
    Ok(files)
}

/// All icons below each other in one drawing, which is loaded once, and a property for each that has its place there.
fn join_icons(folder: &Path) -> Done<(String, String)> {
    let (mut drawn, mut places) = (String::new(), String::new());
    let paths = listed(folder)?;
    let icons = paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "svg"));
    for (place, path) in icons.enumerate() {
        let whole = fs::read_to_string(path)?;
        // Behind the opening tag: the attributes are the same for all.
        let shapes =
            whole.split_once("<svg").and_then(|(_, svg)| svg.split_once('>')).ok_or("an icon is no drawing")?.1;
        let shapes = shapes.trim_end().trim_end_matches("</svg>");
        write!(drawn, "<g transform=\"translate(0 {})\">{shapes}</g>", place * ICON_SIDE)?;
        writeln!(places, "  --i-{}: {place};", path.file_stem().unwrap_or_default().to_string_lossy())?;
    }
    let height = places.lines().count() * ICON_SIDE;
    let drawing = format!(
        "<!-- Lucide: licenses/lucide.txt --><svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{ICON_SIDE}\" \
         height=\"{height}\" viewBox=\"0 0 {ICON_SIDE} {height}\" fill=\"none\" stroke=\"#000\" stroke-width=\"2\" \
         stroke-linecap=\"round\" stroke-linejoin=\"round\">{drawn}</svg>"
    );
    Ok((drawing, format!(":root {{\n{places}}}\n")))
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
        // Else bytes could move from one file to the next with the same hash.
        hash.update(content.len().to_be_bytes());
        hash.update(content);
    }
    hash.finalize().iter().take(HASH_BYTES).fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// Whether brotli would take a minute while the program is built, and make it larger by another half megabyte.
fn is_large(name: &str) -> bool {
    name.starts_with(CONSOLE)
}

/// Writes a file by gzip, and by brotli unless it is large.
fn write_forms(path: &Path, content: &[u8], is_large: bool) -> Done<()> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(content)?;
    fs::write(path.with_extension("gz"), gzip.finish()?)?;
    if is_large {
        return Ok(());
    }
    let mut small = Vec::new();
    let best = brotli::enc::BrotliEncoderParams { quality: 11, lgwin: 22, ..Default::default() };
    brotli::BrotliCompress(&mut &*content, &mut small, &best)?;
    fs::write(path.with_extension("br"), small)?;
    Ok(())
}
