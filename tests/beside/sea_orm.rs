//! sea-orm on its own database, beside the embedded queue.
mod queue;

use sea_orm::entity::prelude::*;
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbBackend, FromQueryResult, Set, Statement};

mod order {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "orders")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub number: i64,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

#[derive(FromQueryResult)]
struct Version {
    version: String,
}

#[pulpo::handler("add")]
async fn add(order: queue::Order, shop: pulpo::State<DatabaseConnection>) -> Result<(), DbErr> {
    order::ActiveModel { number: Set(order.number) }.insert(&*shop).await.map(drop)
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let url = format!("sqlite://{}?mode=rwc", queue::shop().display());
    let shop = runtime.block_on(Database::connect(url)).expect("opened");
    runtime.block_on(shop.execute_unprepared(queue::CREATE)).expect("a table");
    queue::work(&runtime, &shop);
    let rows = runtime.block_on(order::Entity::find().count(&shop)).expect("counted");
    let statement = Statement::from_string(DbBackend::Sqlite, queue::VERSION);
    let version = runtime.block_on(Version::find_by_statement(statement).one(&shop)).expect("asked");
    queue::report(rows as i64, version.expect("a row").version.as_str());
}
