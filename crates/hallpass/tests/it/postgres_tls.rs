//! TLS to PostgreSQL: whoever names an authority gets no connection to a server that it did not vouch for.

use crate::harness::{Engine, Place, Process, run};
use crate::inspect::Database;
use hallpass::store::Location;

/// A place of its own whose URL asks for a server that the authority in this file vouches for.
async fn verified_by(authority: &str) -> (Place, String) {
    let mut place = Place::new(Engine::Postgres).await;
    let Location::Postgres(plain) = place.location.clone() else { unreachable!() };
    place.location = Location::Postgres(format!("{plain}?sslmode=verify-full&sslrootcert={authority}"));
    (place, plain)
}

fn arguments(place: &Place, command: &str) -> Vec<String> {
    [vec![command.to_owned()], place.arguments()].concat()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL, see ./test"]
async fn a_server_that_the_authority_vouches_for_is_spoken_to_over_tls_alone() {
    let authority =
        std::env::var("HALLPASS_TEST_POSTGRES_CA").expect("./test sets HALLPASS_TEST_POSTGRES_CA");
    let (place, plain) = verified_by(&authority).await;
    let (status, _, error) = run(&arguments(&place, "bootstrap"));
    assert_eq!(status, 0, "{error}");
    let _process = Process::start(place.directory.path(), &arguments(&place, "serve"));
    let mut database = Database::open(&Location::Postgres(plain)).await;
    let connections = "SELECT CAST(s.ssl AS TEXT) FROM pg_stat_ssl s JOIN pg_stat_activity a ON a.pid = s.pid \
                       WHERE a.datname = current_database() AND a.application_name = 'hallpass'";
    let encrypted: Vec<(String,)> = database.rows(connections).await;
    assert!(!encrypted.is_empty() && encrypted.iter().all(|(ssl,)| ssl == "true"), "{encrypted:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL, see ./test"]
async fn a_server_that_the_authority_does_not_vouch_for_gets_no_password_and_no_write() {
    let directory = tempfile::tempdir().unwrap();
    let other = directory.path().join("other.crt");
    let issued = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(&other, issued.cert.pem()).unwrap();
    let (place, plain) = verified_by(other.to_str().unwrap()).await;
    let (status, out, error) = run(&arguments(&place, "bootstrap"));
    assert_eq!((status, out.as_str()), (1, ""), "{error}");
    assert!(error.contains("cannot open the store") && error.contains("certificate"), "{error}");
    let mut database = Database::open(&Location::Postgres(plain)).await;
    let tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'";
    assert_eq!(database.rows::<(String,)>(tables).await, []);
}
