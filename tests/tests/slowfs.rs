//! The slow filesystem itself.

use std::fs;

use larder_testkit::slowfs::{self, Behaviour, SlowFs};
use tempfile::TempDir;

/// A store of a file an entry has more of them than a process may have open.
#[test]
fn files_are_not_kept_open() {
    if !slowfs::available() {
        return;
    }
    let [exported, mounted] = [(); 2].map(|()| TempDir::new().unwrap());
    let node = SlowFs::export(exported.path()).unwrap().mount(mounted.path(), Behaviour::default()).unwrap();
    for number in 0..20 {
        let file = node.path().join(number.to_string());
        fs::write(&file, "content").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "content");
    }
    let open = fs::read_dir("/proc/self/fd").unwrap().filter_map(|fd| fs::read_link(fd.unwrap().path()).ok());
    assert_eq!(open.filter(|file| file.starts_with(exported.path())).count(), 0);
}
