"""A day of names and texts as long as they may be, for pages that must show them."""

# Names of topics and jobs have up to 200 of letters, digits, dots, underscores and dashes: here no line can break.
TOPIC = "Topic" + "w" * 195
JOB = "Job" + "m" * 197
# No phase has this one: what fails isn't tried again.
UNKNOWN = "Unknown" + "u" * 193
DOTTED = ".".join(["warehouse", "region-eu_central_1"] * 6)
WORKER = "worker-" + "x" * 193

UNBROKEN = "0123456789abcdef" * 40
WORDS = "the source answered 503 and the retry was refused by the load balancer; " * 8
CHINESE = "受注データの取り込みに失敗しました。" * 14
EMOJI = "🚨🔥👩‍👩‍👧‍👦🇨🇭" * 30
ARABIC = "فشل تحميل البيانات من المصدر بعد ثلاث محاولات " * 8
PATH = "s3://bucket/" + "directory-without-end/" * 12 + "f" * 200 + ".parquet"

INFOS = [f"{PATH}?day=2026-03-02", UNBROKEN, CHINESE, f"?text={ARABIC}", EMOJI, WORDS]
MESSAGES = [WORDS, CHINESE, ARABIC, EMOJI, UNBROKEN, PATH]
METAS = [f"file={PATH}&{'k' * 200}={UNBROKEN}", f"text={CHINESE}", f"text={ARABIC}&text2={EMOJI}"]

FOLDER = "資料-" + "d" * 120
FILE = f"{FOLDER}/{'w' * 220}.toml"
ARABIC_FILE = f"{'سير-العمل-' * 8}.toml"

WORKFLOWS = {
    FILE: f"""
[[phase]]
task = "{TOPIC}:{JOB}"
rule = "cron=*/2 * * * * *&offset=-1h&require={{meta:{'k' * 150}}}"
retry = 2
template = "?hour={{yyyy}}-{{mm}}-{{dd}}T{{hh}}&long={UNBROKEN}"

[[phase]]
task = "{DOTTED}:daily"
dependsOn = "{TOPIC}:{JOB}"
rule = "job={'j' * 160}"
template = "{PATH}?text={CHINESE}"

[[phase]]
task = "{DOTTED}:{JOB}"
rule = "cron=30 2 1,2,3,4,5,6,7,8,9,10 1,2,3,4,5,6,7,8,9,10,11,12 *&offset=-24h"
template = "{ARABIC}"
""",
    ARABIC_FILE: f"""
[[phase]]
task = "files"
rule = "files=/landing/{'directory-without-end/' * 6}*.csv"
template = "{{meta:file}}"

[[phase]]
task = "{'e' * 190}"
rule = "cron=61 * * * *"
template = "{WORDS}"

[[phase]]
task = "rows"
template = "?{'&'.join(f'{name}={{meta:{name}}}' for name in ['k' * 150, 'day', 'region'])}"
""",
    "many.toml": "\n".join(f"""
[[phase]]
task = "load:table_{number:02}_of_the_warehouse"
rule = "cron={number % 60} * * * *"
template = "?hour={{yyyy}}-{{mm}}-{{dd}}T{{hh}}&table={number}"
""" for number in range(70)),
}

# A route's name may have 100 characters.
ROUTE = "r" * 100


def config(hook):
    """Routes that open an incident within seconds and keep it open."""
    ladder = 'min_frequency = "2s"\nmax_frequency = "1h"\nfactor_up = 100.0\n'
    return (f'[notify]\nurl = "{hook}"\n{ladder}[notify.routes.{ROUTE}]\ntype = "{UNKNOWN}"\nurl = "{hook}"\n{ladder}')


def seed(service):
    """Tasks in every state, alerts, incidents, files, backloads and silences, all of them long; the uid of a task."""
    rows = [{"type": name, "job": job, "info": info, "meta": meta}
            for name, job in [(TOPIC, JOB), (UNKNOWN, JOB), (DOTTED, "daily"), ("short", "")]
            for info, meta in zip(INFOS, METAS * 2)]
    service.post("/api/v1/tasks", rows)
    for number, topic in enumerate([TOPIC, UNKNOWN, DOTTED, "short"] * 6):
        leased = service.post("/api/v1/lease", {"topics": [topic], "worker": WORKER, "lease": "10m"})["tasks"]
        for task in leased:
            result = ["error", "complete", "alert", "warn", "error", None][number // 4]
            if result is None:
                beat = {"progress": 0.4, "msg": WORDS}
                service.post(f"/api/v1/lease/{task['lease']}/heartbeat", beat)
            else:
                service.end(task, result, MESSAGES[number % len(MESSAGES)])
    slot = service.until("a slot started", lambda: service.lease(f"{TOPIC}:{JOB}"))[0]
    meta = f"{'k' * 150}=rows&file={PATH}"
    service.end(slot, "complete", WORDS, meta)
    many_files(service)
    service.post("/api/v1/silences", {"match": {"type": "t" * 200, "job": "j" * 200, "workflow": "w" * 200},
                                      "for": "4h", "by": "b" * 200, "reason": WORDS[:900]})
    service.post("/api/v1/silences", {"match": {"type": "short"}, "for": "4h", "by": "Zoë", "reason": CHINESE})
    backload = {"task": f"{DOTTED}:daily", "from": "2026-01-01", "to": "2026-01-09", "execute": True,
                "meta": {"file": [PATH]}}
    service.post("/api/v1/backload", backload)
    service.until("an incident is open", lambda: [
        one for one in service.get("/api/v1/incidents")["items"] if one["closed"] is None and one["route"] == ROUTE])
    service.post("/api/v1/alerts/ack", {"match": {}, "for": "4h", "by": "b" * 200, "note": WORDS[:900]})
    return slot["task"]["uid"]


def many_files(service):
    for number in range(12):
        for path in [f"/landing/{'directory-without-end/' * 6}{'f' * 150}{number}.csv", f"/else/{CHINESE[:80]}{number}.txt"]:
            service.post("/api/v1/files", {"path": path, "size": 123_456_789_012 * number, "checksum": str(number)})
