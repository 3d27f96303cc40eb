//! The stable link: hooks and people inside a session call `ao` by a path that outlives upgrades.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, symlink};

use camino::Utf8Path;

/// Makes `<folder>/ao` a link to `program`, in one step: whoever calls it meanwhile gets the old or the new one.
///
/// # Errors
/// When the folder or the link cannot be made; an older link is still there then.
pub fn stable(folder: &Utf8Path, program: &Utf8Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let link = folder.join("ao");
    if fs::read_link(&link).is_ok_and(|to| to == program) {
        return Ok(());
    }
    let fresh = folder.join(format!(".ao-{}", std::process::id()));
    let _ = fs::remove_file(&fresh);
    symlink(program, &fresh)?;
    fs::rename(&fresh, &link)
}

#[cfg(test)]
mod tests {
    use super::*;
    use camino::Utf8PathBuf;

    #[test]
    fn the_link_moves_to_the_newest_program() {
        let folder = Utf8PathBuf::try_from(std::env::temp_dir())
            .unwrap()
            .join(format!("ao-link-{}", std::process::id()));
        for program in ["/bin/sh", "/bin/sh", "/bin/true"] {
            stable(&folder, program.into()).unwrap();
            assert_eq!(
                fs::read_link(folder.join("ao")).unwrap(),
                std::path::Path::new(program)
            );
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(folder).unwrap();
    }
}
