//! `microvisor edit`: an instance's configuration in an editor, and then in the instance.

use super::{context, declared, instances};
use crate::images::Config;
use crate::output::{self, Failure, note};
use machine::status;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;

/// The editor: a command of the shell, since people put options into the variable.
fn editor() -> String {
    let named = ["VISUAL", "EDITOR"].into_iter().find_map(|name| std::env::var(name).ok());
    named.filter(|editor| !editor.is_empty()).unwrap_or_else(|| "vi".into())
}

/// Has somebody change a file.
fn change(file: &Path) -> Result<(), Failure> {
    let editor = editor();
    let ended = Command::new("sh").arg("-c").arg(format!("{editor} \"$1\"")).arg("sh").arg(file).status();
    match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(format!("the editor {editor} ended with {status}"), status::HOST)),
        Err(e) => Err(Failure::new(format!("the editor {editor}: {e}"), status::HOST)),
    }
}

/// `microvisor edit`
pub fn edit(name: &str) -> Result<(), Failure> {
    let before = declared::spec(&context::required()?, name)?.config.unwrap_or_default();
    let failed = |e: std::io::Error| Failure::new(e, status::HOST);
    let file = std::env::temp_dir().join(format!("{name}-{}.click", std::process::id()));
    let mut draft =
        std::fs::File::options().write(true).create_new(true).mode(0o600).open(&file).map_err(failed)?;
    draft.write_all(before.as_bytes()).map_err(failed)?;
    let changed = change(&file).and_then(|()| Ok(Config::read(&file)?)).and_then(|config| {
        let text = String::from_utf8_lossy(&config.bytes).into_owned();
        match text == before {
            true => output::print("nothing was changed\n"),
            false => instances::configure(name, &text),
        }
    });
    match changed {
        Ok(()) => std::fs::remove_file(&file).map_err(failed),
        Err(e) => {
            note(format!("microvisor: what you wrote is in {}\n", file.display()));
            Err(e)
        }
    }
}
