//! What is wrong between a template and the rows of its meta file is a problem of the phase.

use super::*;

const COPY: &str = "[[phase]]\ntask = \"copy\"\nrule = \"cron=@daily&meta-file=rows.csv\"\n\
                    template = \"{meta:table}\"\n";

#[actix::test]
async fn a_key_that_no_row_has_is_a_problem_of_the_phase_until_it_is_mended() {
    let child = "[[phase]]\ntask = \"kid\"\ndependsOn = \"copy\"\nrule = \"meta-file=rows.csv\"\n\
                 template = \"{meta:file}\"\n";
    let world = World::new(&[("w.toml", &format!("{COPY}{child}")), ("rows.csv", "Table;id\norders;1\n")]);
    let library = world.start().await;
    let problems = async || -> Vec<String> {
        let current = library.client.call(ReadLoadedWorkflows).await.unwrap();
        current.workflows.phases().map(flowlord_domain::workflow::Phase::problems_text).collect()
    };
    let told = problems().await;
    assert!(told[0].contains("no row has `table`") && told[0].contains("`Table`, `id`"), "{told:?}");
    assert_eq!(told[1], "", "a parent may have the key");

    world.write("rows.csv", "table;id\norders;1\n");
    library.client.call(ReloadWorkflows).await.unwrap();
    assert_eq!(problems().await, ["", ""]);

    std::fs::remove_file(world.path("rows.csv")).unwrap();
    library.client.call(ReloadWorkflows).await.unwrap();
    assert_eq!(problems().await, ["", ""], "it may be there in time");
    library.kill();
}
