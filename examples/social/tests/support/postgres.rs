//! A PostgreSQL of the tests' own, from Debian's packages: started with the first of them that needs it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::any::AnyPoolOptions;
use tokio::sync::OnceCell;

/// Where Debian keeps its programs, each version by itself.
const PROGRAMS: &str = "/usr/lib/postgresql";

/// Starts it, waits until nobody holds the other end of its input any more, however that ended, and leaves
/// nothing behind. PostgreSQL does not run as root.
const WATCH: &str = r#"
trap '' INT TERM HUP
as=
if [ "$(id -u)" = 0 ]; then
    chown postgres "$2"
    as="setpriv --reuid=postgres --regid=postgres --init-groups --"
fi
cd "$2"
$as "$1/initdb" --pgdata=data --username=postgres --auth=trust --no-sync >log 2>&1 || exit
$as "$1/postgres" -D data -k "$2" -c listen_addresses= -c fsync=off -c max_connections=300 >>log 2>&1 &
read -r _
kill -QUIT $! 2>/dev/null
wait
rm -rf "$2"
"#;

struct Cluster {
    directory: PathBuf,
    /// Ends with its input, which is closed when this process ends.
    _watch: Child,
}

/// The URL of a new database.
pub async fn database(name: &str) -> String {
    static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
    let cluster = CLUSTER.get_or_init(Cluster::start).await;
    let url =
        |name| format!("postgres://postgres@localhost/{name}?host={}", cluster.directory.display());
    sqlx::any::install_default_drivers();
    let pool = AnyPoolOptions::new().max_connections(1).connect(&url("postgres")).await.unwrap();
    sqlx::raw_sql(&format!("CREATE DATABASE {name}")).execute(&pool).await.unwrap();
    pool.close().await;
    url(name)
}

impl Cluster {
    async fn start() -> Self {
        let programs = programs().expect("PostgreSQL is missing: run tools/setup examples");
        // Its socket has a path of up to 107 bytes.
        let directory = std::env::temp_dir().join(format!("roomful-pg-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let watch = Command::new("sh")
            .args(["-c", WATCH, "sh"])
            .args([&programs, &directory])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let cluster = Self { directory, _watch: watch };
        cluster.accepts().await;
        cluster
    }

    async fn accepts(&self) {
        sqlx::any::install_default_drivers();
        let url =
            format!("postgres://postgres@localhost/postgres?host={}", self.directory.display());
        let began = Instant::now();
        let options = AnyPoolOptions::new().max_connections(1);
        while let Err(error) = options.clone().connect(&url).await.map(drop) {
            let log = std::fs::read_to_string(self.directory.join("log")).unwrap_or_default();
            assert!(began.elapsed() < Duration::from_secs(30), "no PostgreSQL: {error}\n{log}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Those of the newest version.
fn programs() -> Option<PathBuf> {
    let versions = Path::new(PROGRAMS).read_dir().ok()?.filter_map(Result::ok);
    let number = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions.map(|version| version.path()).max_by_key(number)?;
    let programs = newest.join("bin");
    programs.join("initdb").exists().then_some(programs)
}

/// What is on the disk of a database: all rows of all tables are there, in clear if they are so.
pub async fn files(url: &str) -> Vec<(String, Vec<u8>)> {
    let options = AnyPoolOptions::new().max_connections(1);
    let pool = options.connect(url).await.unwrap();
    sqlx::raw_sql("CHECKPOINT").execute(&pool).await.unwrap();
    let select = "SELECT relname::text, pg_read_binary_file(pg_relation_filepath(oid)) \
        FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace";
    let files = sqlx::query_as(select).fetch_all(&pool).await.unwrap();
    pool.close().await;
    files
}
