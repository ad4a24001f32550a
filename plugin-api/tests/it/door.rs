//! A host in small: opens the tests' plugin and calls it.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use abi_stable::library::AbiHeaderRef;
use abi_stable::prefix_type::WithMetadata;
use abi_stable::std_types::RStr;
use checkd_abi::{Host, HostRef, PluginRef, ROOT_SYMBOL, VERSION};
use checkd_plugin_api::host::{Configured, Request};
use checkd_plugin_api::{Problems, Sample};

pub(crate) fn load() -> PluginRef {
    let tests = std::env::current_exe().unwrap();
    let target = tests.parent().and_then(std::path::Path::parent).unwrap();
    let path = target.join("examples/libtested_plugin.so");
    #[expect(unsafe_code, reason = "a shared library is opened here")]
    // SAFETY: our own library, which no test overwrites.
    let header = unsafe {
        let library = libloading::Library::new(path.to_str().unwrap()).unwrap();
        let header = *library.get::<AbiHeaderRef>(ROOT_SYMBOL.as_bytes()).unwrap();
        std::mem::forget(library);
        header
    };
    checkd_abi::root(header.upgrade().unwrap()).unwrap()
}

pub(crate) type Seen = (u64, u64, Sample);

extern "C" fn sink(user: usize, instance: u64, run: u64, sample: RStr<'_>) {
    #[expect(unsafe_code, reason = "`user` is a pointer of ours")]
    // SAFETY: `user` is the sender that `Loaded` leaked.
    let sender = unsafe { &*(user as *const Sender<Seen>) };
    sender
        .send((
            instance,
            run,
            serde_json::from_str(sample.as_str()).unwrap(),
        ))
        .ok();
}

const TABLE: &WithMetadata<Host> = &WithMetadata::new(Host {
    version: RStr::from_str(VERSION),
    sink,
});
const HOST: HostRef = HostRef(TABLE.static_as_prefix());

pub(crate) struct Loaded {
    pub(crate) plugin: PluginRef,
    user: usize,
    seen: Receiver<Seen>,
}

const SOON: Duration = Duration::from_secs(20);

impl Loaded {
    pub(crate) fn new() -> Self {
        let (sender, seen) = channel::<Seen>();
        let user = std::ptr::from_ref(Box::leak(Box::new(sender))) as usize;
        Self {
            plugin: load(),
            user,
            seen,
        }
    }
    pub(crate) fn try_configure(&self, kind: &str, options: &str) -> Result<u64, Problems> {
        let reply = (self.plugin.configure())(kind.into(), options.into(), HOST, self.user);
        match serde_json::from_str(&reply).unwrap() {
            Configured::Instance(number) => Ok(number),
            Configured::Problems(problems) => Err(problems),
        }
    }
    pub(crate) fn configure(&self, kind: &str, mode: &str) -> u64 {
        self.try_configure(kind, &format!(r#"{{"mode": "{mode}"}}"#))
            .unwrap()
    }
    pub(crate) fn submit(&self, instance: u64, run: u64, timeout: Duration) {
        let request = Request {
            group: "shop".to_owned(),
            ..Request::default()
        };
        self.submit_about(instance, run, &request, timeout);
    }
    pub(crate) fn submit_about(
        &self,
        instance: u64,
        run: u64,
        request: &Request,
        timeout: Duration,
    ) {
        let request = serde_json::to_string(request).unwrap();
        let timeout = u64::try_from(timeout.as_millis()).unwrap();
        (self.plugin.submit())(instance, run, request.as_str().into(), timeout);
    }
    pub(crate) fn answer(&self) -> Seen {
        self.seen.recv_timeout(SOON).unwrap()
    }
    /// What else was answered; a short look, because no event says that nothing will come.
    pub(crate) fn more(&self) -> Option<Sample> {
        self.seen
            .recv_timeout(Duration::from_millis(20))
            .ok()
            .map(|(_, _, sample)| sample)
    }
}
