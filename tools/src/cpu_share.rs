//! Shares of the processor: processes that run beside each other, each as if on a small machine of its own.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Short, so that a process that used its share up waits for little; Linux allows no share below a millisecond of it.
const PERIOD_MICROSECONDS: f64 = 10_000.0;

/// Control groups that hold processes to a share of a core each; removed when dropped.
#[derive(Debug)]
pub(crate) struct CpuShares {
    root: PathBuf,
    groups: Vec<PathBuf>,
}

impl CpuShares {
    /// Holds each process to so many cores.
    pub(crate) fn limit(root: &Path, processes: impl IntoIterator<Item = u32>, cores: f64) -> anyhow::Result<Self> {
        let mut shares = Self { root: root.to_owned(), groups: Vec::new() };
        for process in processes {
            shares.limit_one(process, cores).context("shares of the processor need root and control groups")?;
        }
        Ok(shares)
    }

    fn limit_one(&mut self, process: u32, cores: f64) -> anyhow::Result<()> {
        let group = self.root.join(format!("flowlord-bench-{process}"));
        std::fs::create_dir(&group)?;
        self.groups.push(group.clone());
        let quota = (cores * PERIOD_MICROSECONDS).round();
        // The second version of control groups has one file for both.
        if group.join("cpu.max").exists() {
            std::fs::write(group.join("cpu.max"), format!("{quota} {PERIOD_MICROSECONDS}"))?;
        } else {
            std::fs::write(group.join("cpu.cfs_period_us"), PERIOD_MICROSECONDS.to_string())?;
            std::fs::write(group.join("cpu.cfs_quota_us"), quota.to_string())?;
        }
        Ok(std::fs::write(group.join("cgroup.procs"), process.to_string())?)
    }
}

impl Drop for CpuShares {
    fn drop(&mut self) {
        for group in &self.groups {
            // A group can be removed once its processes are elsewhere; one of them may have ended by itself.
            let processes = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
            for id in processes.lines() {
                let _has_ended = std::fs::write(self.root.join("cgroup.procs"), id);
            }
            // One that stays limits nobody.
            let _stays = std::fs::remove_dir(group);
        }
    }
}

/// Where control groups of the processor are mounted.
pub(crate) fn find_groups() -> anyhow::Result<PathBuf> {
    let first_version = Path::new("/sys/fs/cgroup/cpu");
    if first_version.is_dir() {
        return Ok(first_version.to_owned());
    }
    let second_version = Path::new("/sys/fs/cgroup");
    let controllers = std::fs::read_to_string(second_version.join("cgroup.subtree_control"))
        .context("no control groups are mounted at /sys/fs/cgroup")?;
    if !controllers.split_whitespace().any(|controller| controller == "cpu") {
        std::fs::write(second_version.join("cgroup.subtree_control"), "+cpu")
            .context("control groups of the processor can't be used")?;
    }
    Ok(second_version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_held_to_its_share_until_that_is_dropped() {
        let Ok(root) = find_groups() else { return };
        let mut process = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let id = process.id();
        check_share(&root, id);
        assert!(process.try_wait().unwrap().is_none(), "the process goes on without a limit");
        process.kill().unwrap();
        process.wait().unwrap();
    }

    fn check_share(root: &Path, id: u32) {
        let group = root.join(format!("flowlord-bench-{id}"));
        // Only root may.
        let Ok(shares) = CpuShares::limit(root, [id], 0.25) else { return };
        let read = |file: &str| std::fs::read_to_string(group.join(file)).unwrap_or_default().trim().to_owned();
        assert_eq!(read("cgroup.procs"), id.to_string());
        assert!(read("cpu.max") == "2500 10000" || read("cpu.cfs_quota_us") == "2500", "a quarter of a core");
        drop(shares);
        assert!(!group.exists(), "the group is removed");
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error_and_leaves_no_group() {
        let Ok(root) = find_groups() else { return };
        CpuShares::limit(&root, [u32::MAX >> 1], 0.25).unwrap_err();
        assert!(!root.join(format!("flowlord-bench-{}", u32::MAX >> 1)).exists());
    }
}
