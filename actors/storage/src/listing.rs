//! Lists the files at and below a place.

use std::borrow::Cow;
use std::path::Path;

use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::path::Path as Key;

use crate::entry::{FolderLevel, FolderListing, object_of, show_text};
use crate::error::{Error, Result};
use crate::sift::SiftedKeys;
use crate::store::FileStorage;
use crate::walk::{LinkPolicy, WalkDepth, walk_folder};

impl FileStorage {
    /// The files below `folder`, by path; empty for all. None where nothing is there.
    pub async fn list(&self, folder: &str, most: usize) -> Result<FolderListing> {
        let FolderLevel { files: objects, skipped, .. } = self.list_sorted(folder, most, WalkDepth::All).await?;
        Ok(FolderListing { objects, skipped })
    }

    /// The files directly in `folder`, and the folders there, by name; empty for the place itself.
    pub async fn list_level(&self, folder: &str, most: usize) -> Result<FolderLevel> {
        self.list_sorted(folder, most, WalkDepth::One).await
    }

    async fn list_sorted(&self, folder: &str, most: usize, depth: WalkDepth) -> Result<FolderLevel> {
        let within = self.full_key(folder)?;
        let mut found = match &self.pages {
            Some(pages) => self.list_pages(pages.as_ref(), &within, folder, most, depth).await?,
            None => self.list_local(&within, folder, most, depth).await?,
        };
        found.files.sort_by(|a, b| a.path.cmp(&b.path));
        found.folders.sort_unstable();
        Ok(found)
    }

    async fn list_local(&self, within: &Key, folder: &str, most: usize, depth: WalkDepth) -> Result<FolderLevel> {
        let root = Path::new("/").join(within.as_ref());
        let name = match depth {
            WalkDepth::All => folder.trim_matches('/').to_owned(),
            WalkDepth::One => String::new(),
        };
        let at = self.shown_path(folder);
        let walked =
            // A disk may take long to answer, and the thread is an actor's.
            tokio::task::spawn_blocking(move || walk_folder(&root, name, &at, most, depth, LinkPolicy::Each));
        walked.await.unwrap_or_else(|err| Err(Error::of_io(Path::new(folder), &std::io::Error::other(err))))
    }

    async fn list_pages(
        &self,
        pages: &dyn PaginatedListStore,
        within: &Key,
        folder: &str,
        most: usize,
        depth: WalkDepth,
    ) -> Result<FolderLevel> {
        // With its slash: else `orders` would also list `orders-old/x`.
        let prefix = Some(format!("{within}/")).filter(|_| !within.as_ref().is_empty());
        // Paths in all of a place begin at its root, names on one level at the folder.
        let base = if depth == WalkDepth::All { &self.root } else { within };
        let mut found = FolderLevel::default();
        let mut page_token = None;
        loop {
            let delimiter = (depth == WalkDepth::One).then_some(Cow::Borrowed("/"));
            let options = PaginatedListOptions { page_token, delimiter, ..PaginatedListOptions::default() };
            let page = pages.list_paginated(prefix.as_deref(), options).await;
            let page = page.map_err(|err| self.error_at(&err, folder))?;
            let sifted = page.result.extensions.get::<SiftedKeys>();
            for (key, why) in sifted.iter().flat_map(|sifted| &sifted.0) {
                found.skipped.add_entry(show_text(&relative_path(base, key)).into_owned(), *why);
            }
            let objects = page.result.objects.iter();
            found.files.extend(objects.map(|it| object_of(relative_path(base, it.location.as_ref()), it)));
            let folders = page.result.common_prefixes.iter();
            found.folders.extend(folders.map(|key| relative_path(base, key.as_ref())));
            // Checked page by page: a bucket may have millions.
            if found.files.len() + found.folders.len() + found.skipped.count() > most {
                return Err(Error::TooMany { at: self.shown_path(folder), most });
            }
            page_token = page.page_token;
            if page_token.is_none() {
                return Ok(found);
            }
        }
    }
}

fn relative_path(base: &Key, key: &str) -> String {
    let rest = key.strip_prefix(base.as_ref()).unwrap_or(key);
    if base.as_ref().is_empty() { rest } else { rest.strip_prefix('/').unwrap_or(rest) }.to_owned()
}

/// The files of this machine below a folder, each once, however many links lead to it. Hidden ones don't count.
pub fn list_folder(folder: &Path, most: usize) -> Result<FolderListing> {
    let at = folder.display().to_string();
    let mut found = walk_folder(folder, String::new(), &at, most, WalkDepth::All, LinkPolicy::Once)?;
    found.files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(FolderListing { objects: found.files, skipped: found.skipped })
}
