//! Who is let in where there are users.

use std::{
    fs,
    net::SocketAddr,
    process::Command,
    time::{Duration, Instant},
};

use millstream::{
    ingest::{Scheme, hash_password},
    queue::QueueName,
};
use tests::Child;
use tokio::{net::TcpStream, task::JoinSet};

use super::{
    certificates::Authority,
    raw::{Connect, PATIENCE, Raw, V3, V5},
    server::{Server, Setup, start},
};

const TOPIC: &str = "devices/a/telemetry";

/// The hash of "swordfish", as cheap as Argon2id takes it.
const SWORDFISH: &str =
    "$argon2id$v=19$m=8,t=1,p=1$YSB0ZXN0J3Mgc2FsdA$79mhfp49KA4THBizyuqErN7NutE+G3wnV0mD99L2f3k";
/// The hash of "trout".
const TROUT: &str =
    "$argon2id$v=19$m=8,t=1,p=1$YSB0ZXN0J3Mgc2FsdA$qApQklxwBoyhchtKyF52Bv5Rw+MRIe4fRfO10Ny1yg8";

/// An intake with these users, and where their file is.
struct Guarded {
    server: Server,
    folder: tempfile::TempDir,
}

impl Guarded {
    async fn start(users: &str, change: impl FnOnce(&mut Setup)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("users");
        fs::write(&file, users).unwrap();
        let mut setup = Setup::default();
        setup.listener.users_file = Some(file);
        // A log-in costs what it costs, also where the machine is busy and nothing is optimized.
        setup.listener.connect_timeout = PATIENCE;
        change(&mut setup);
        Self { server: Server::with(setup).await, folder }
    }

    /// Puts others in the place of all users, at once.
    fn write(&self, users: &str) {
        let new = self.folder.path().join("new");
        fs::write(&new, users).unwrap();
        fs::rename(new, self.folder.path().join("users")).unwrap();
    }

    /// The code that a log-in is answered with.
    async fn code(&self, version: u8, user: Option<&'static str>, password: Option<&'static str>) -> u8 {
        let mut client = Raw::open(self.server.addr(), version).await;
        let connack = client.knock(&Connect { user, password, ..Connect::new(version, "sensor") }).await;
        assert_eq!(connack[0], 0, "no session");
        if connack[1] != 0 {
            assert_eq!(client.receive().await, None, "the server hangs up");
        }
        connack[1]
    }

    /// Logs in until that is answered with `code`.
    async fn becomes(&self, user: &'static str, password: &'static str, code: u8) {
        let deadline = Instant::now() + PATIENCE;
        while self.code(V3, Some(user), Some(password)).await != code {
            assert!(Instant::now() < deadline, "{user} with {password}: never {code}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test]
async fn a_log_in_is_answered_with_the_code_that_mqtt_has_for_it() {
    let users = format!("# who measures\n\nboiler:{SWORDFISH}\nsite:a:pump 7:{TROUT}\n");
    let guarded = Guarded::start(&users, |_| {}).await;
    let (boiler, pump, nobody) = (Some("boiler"), Some("site:a:pump 7"), Some("nobody"));
    let (swordfish, trout) = (Some("swordfish"), Some("trout"));
    for (user, password, v3, v5) in [
        (boiler, swordfish, 0, 0),
        (pump, trout, 0, 0),
        (boiler, trout, 4, 0x86),
        (pump, swordfish, 4, 0x86),
        // Also after one that was right.
        (boiler, Some("swordfish "), 4, 0x86),
        (boiler, Some(""), 4, 0x86),
        (boiler, None, 4, 0x86),
        (nobody, swordfish, 4, 0x86),
        (Some("BOILER"), swordfish, 4, 0x86),
        (Some("# who measures"), None, 4, 0x86),
        (Some(""), Some(""), 4, 0x86),
        (None, None, 5, 0x87),
    ] {
        // What is remembered of the first changes nothing.
        for _ in 0..2 {
            assert_eq!(guarded.code(V3, user, password).await, v3, "{user:?} {password:?}");
            assert_eq!(guarded.code(V5, user, password).await, v5, "{user:?} {password:?}");
        }
    }
}

#[tokio::test]
async fn who_need_not_log_in_must_not_lie() {
    let guarded =
        Guarded::start(&format!("boiler:{SWORDFISH}\n"), |setup| setup.listener.allow_anonymous = true).await;
    assert_eq!(guarded.code(V3, None, None).await, 0);
    assert_eq!(guarded.code(V3, Some("boiler"), Some("swordfish")).await, 0);
    assert_eq!(guarded.code(V3, Some("boiler"), Some("trout")).await, 4);
}

#[tokio::test]
async fn a_certificate_stands_for_a_password() {
    let authority = Authority::new();
    let guarded = Guarded::start(&format!("boiler:{SWORDFISH}\n"), |setup| {
        setup.listener.listen_tls = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        setup.listener.tls = Some(authority.options(true));
    })
    .await;
    let identity = authority.sign(&["sensor"]);
    for (password, code) in [(None, 0), (Some("swordfish"), 0), (Some("trout"), 4)] {
        let socket = TcpStream::connect(guarded.server.door(Scheme::Mqtts)).await.unwrap();
        let mut client = Raw::on(authority.dial(socket, Some(&identity)).await.unwrap(), V3);
        let user = password.map(|_| "boiler");
        let connack = client.knock(&Connect { user, password, ..Connect::new(V3, "sensor") }).await;
        assert_eq!(connack[1], code, "{password:?}");
    }
    assert_eq!(guarded.code(V3, None, None).await, 5, "at the plain door");
}

#[tokio::test]
async fn a_fleet_that_comes_at_once_is_let_in() {
    // As dear as passwords are: what is known of the first must serve the others.
    let dear = hash_password(b"swordfish").unwrap();
    let names: Vec<String> = (0..50).map(|index| format!("pump-{index}")).collect();
    let mut users = format!("boiler:{dear}\n");
    for name in &names {
        users.push_str(&format!("{name}:{TROUT}\n"));
    }
    let guarded = Guarded::start(&users, |_| {}).await;
    let addr = guarded.server.addr();
    let mut fleet = JoinSet::new();
    for index in 0..200 {
        let own = names[index % names.len()].clone();
        fleet.spawn(async move {
            let (user, password) =
                if index % 2 == 0 { ("boiler", "swordfish") } else { (&*own.leak(), "trout") };
            let mut client = Raw::open(addr, V3).await;
            let connect =
                Connect { client_id: "", user: Some(user), password: Some(password), ..Connect::new(V3, "") };
            client.begin(&connect).await;
            client.publish(1, TOPIC, b"1").await;
            client.pubacks(1).await;
        });
    }
    let all = async { while fleet.join_next().await.map(Result::unwrap).is_some() {} };
    tokio::time::timeout(2 * PATIENCE, all).await.expect("all of them are let in");
    assert_eq!(guarded.server.rows(QueueName::Validate).await, 200);
}

#[tokio::test]
async fn it_takes_as_long_to_refuse_nobody_as_somebody() {
    let guarded = Guarded::start(&format!("boiler:{}\n", hash_password(b"swordfish").unwrap()), |_| {}).await;
    let mut fastest = [Duration::MAX; 2];
    let alike = |[somebody, nobody]: [Duration; 2]| nobody > somebody / 2 && nobody < somebody * 2;
    // Other tests take their time from it: the fastest of ever more tries comes close to what it costs.
    for _ in 0..30 {
        for (fastest, user) in fastest.iter_mut().zip(["boiler", "nobody"]) {
            let begun = Instant::now();
            assert_eq!(guarded.code(V3, Some(user), Some("trout")).await, 4);
            *fastest = begun.elapsed().min(*fastest);
        }
        if alike(fastest) {
            break;
        }
    }
    let [somebody, nobody] = fastest;
    assert!(alike(fastest), "{nobody:?} for nobody, {somebody:?} for somebody");
}

#[tokio::test]
async fn users_come_and_go_while_it_runs() {
    let guarded = Guarded::start(&format!("boiler:{SWORDFISH}\n"), |_| {}).await;
    assert_eq!(guarded.code(V3, Some("boiler"), Some("swordfish")).await, 0);
    guarded.write(&format!("boiler:{TROUT}\npump:{SWORDFISH}\n"));
    guarded.becomes("pump", "swordfish", 0).await;
    assert_eq!(guarded.code(V3, Some("boiler"), Some("swordfish")).await, 4, "it has another password now");
    assert_eq!(guarded.code(V3, Some("boiler"), Some("trout")).await, 0);
    // What is no file of users changes nothing, until it is one.
    guarded.write("pump:hunter2\n");
    let looked = Instant::now() + Duration::from_millis(1500);
    while Instant::now() < looked {
        assert_eq!(guarded.code(V3, Some("pump"), Some("swordfish")).await, 0);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    guarded.write("");
    guarded.becomes("pump", "swordfish", 4).await;
}

#[tokio::test]
async fn without_good_users_it_does_not_start() {
    let cases = [
        ("boiler\n", ":1: expected user:hash"),
        ("# one\nboiler:swordfish\n", ":2: the hash of \"boiler\" cannot be used"),
        (&format!("boiler:{}\n", SWORDFISH.replace("argon2id", "argon2i")), "it is one by argon2i"),
        (&format!("boiler:{}\n", SWORDFISH.replace("m=8", "m=4000000000")), "KiB of memory"),
        (&format!("boiler:{}\n", SWORDFISH.rsplit_once('$').unwrap().0), "it is not whole"),
        (&format!("boiler:{SWORDFISH}\nboiler:{TROUT}\n"), ":2: the user \"boiler\" is there twice"),
        (&format!(":{SWORDFISH}\n"), ":1: the name of the user is empty"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let mut setup = Setup::default();
    setup.listener.users_file = Some(folder.path().join("users"));
    let refusal = async || {
        let dir = tempfile::tempdir().unwrap();
        let (ingest, _queues) = start(dir.path().join("millstream.db"), &setup).await;
        ingest.err().expect("no intake").to_string()
    };
    let error = refusal().await;
    assert!(error.contains("cannot read the users in") && error.contains("No such file"), "{error}");
    for (users, told) in cases {
        fs::write(folder.path().join("users"), users).unwrap();
        let error = refusal().await;
        assert!(error.contains(told), "{users}: {error}");
    }
}

#[tokio::test]
async fn other_machines_may_publish_with_a_password() {
    let everywhere = Some(SocketAddr::from(([0, 0, 0, 0], 0)));
    Guarded::start(&format!("boiler:{SWORDFISH}\n"), |setup| setup.listener.listen = everywhere).await;
}

/// A client that others use, by TLS and with a password.
#[tokio::test]
async fn messages_of_mosquitto_pub_arrive() {
    let authority = Authority::new();
    let guarded = Guarded::start(&format!("boiler:{}\n", hash_password(b"sword fish").unwrap()), |setup| {
        setup.listener.listen_tls = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        setup.listener.tls = Some(authority.options(false));
    })
    .await;
    let port = guarded.server.door(Scheme::Mqtts).port().to_string();
    let ca = authority.path("ca.pem");
    let publish = async |version: &str, user: &str, password: &str| {
        let mut command = Command::new("mosquitto_pub");
        command.args(["-h", "localhost", "-p", &port, "-V", version, "-q", "1", "-t", TOPIC, "-m", version]);
        command.args(["-u", user, "-P", password, "--cafile"]).arg(&ca);
        assert!(
            Command::new("mosquitto_pub").arg("--help").output().is_ok(),
            "there is no mosquitto_pub: apt-get install mosquitto-clients"
        );
        tokio::task::spawn_blocking(move || Child::start(command).ended()).await.unwrap()
    };
    for (version, refusal) in
        [("mqttv311", "bad user name or password"), ("mqttv5", "Bad User Name or Password")]
    {
        publish(version, "boiler", "sword fish").await.well();
        let refused = publish(version, "boiler", "swordfish").await;
        let said = refused.err.join("\n").to_lowercase();
        assert!(refused.code != Some(0) && said.contains(&refusal.to_lowercase()), "{refused:?}");
    }
    let received = guarded.server.drain(QueueName::Validate, 2).await;
    let payloads: Vec<_> = received.into_iter().map(|message| message.payload).collect();
    assert_eq!(payloads, [b"mqttv311".to_vec(), b"mqttv5".to_vec()]);
}
