"""Following a job: what is printed, and how it ends."""

import itertools
import json
from datetime import datetime, timedelta

import pytest

pytest.importorskip("google.cloud.aiplatform_v1")

from fake_vertex import FakeVertex
from test_fake_vertex import JOB, STUDY

from trainer.errors import Interrupted, TrainingFailed, UserError
from trainer.jobs.follow import MAX_MISSED, announce, follow
from trainer.jobs.job_service import Place, connect, parse_job_name

PARENT = "projects/a-project/locations/us-central1"


class Following:
    """A job on the fake service that is followed; `lines` is what was printed.

    The clock moves on by 30 s whenever it is read, from 10:00:00.
    """

    def __init__(self, fake, body=JOB, kind="customJobs"):
        self.fake = fake
        self.place = Place("a-project", "us-central1", fake.url)
        self.client = connect(self.place)
        answer = fake.answer("POST", f"/v1/{PARENT}/{kind}", json.dumps(body).encode())[1]
        self.name = parse_job_name(answer["name"])
        self.lines = []
        ticks = itertools.count()
        self.now = lambda: datetime(2026, 1, 1, 10) + timedelta(seconds=30 * next(ticks))

    def follow(self, sleep=lambda _: None):
        return follow(
            self.client, self.name, self.place, say=self.lines.append, now=self.now, sleep=sleep
        )


def test_each_state_is_printed_once_with_its_time():
    with FakeVertex() as fake:
        following = Following(fake)

        job = following.follow()

    assert job.display_name == "j"
    assert following.lines == [
        "10:01:00  pending",
        "10:02:00  running after 1m 30s",
        "10:03:00  succeeded after 2m 30s",
    ]


def test_pause_between_looks_is_the_given_one():
    pauses = []
    with FakeVertex() as fake:
        following = Following(fake)
        follow(
            following.client,
            following.name,
            following.place,
            say=following.lines.append,
            now=following.now,
            sleep=pauses.append,
            poll_seconds=2.5,
        )

    assert pauses == [2.5, 2.5]


def test_announcement_has_links_and_the_stream_command():
    lines = []

    announce(parse_job_name(f"{PARENT}/customJobs/7"), lines.append)

    assert lines[0] == f"submitted {PARENT}/customJobs/7"
    assert [line.split()[0] for line in lines[1:]] == ["console:", "logs:", "stream:"]
    assert lines[3].endswith(
        "gcloud ai custom-jobs stream-logs 7 --project=a-project --region=us-central1"
    )


def test_failed_job_ends_with_its_message_on_one_line():
    error = "The replica workerpool0-0 exited\nwith a non-zero status of 2."
    with FakeVertex(outcome="JOB_STATE_FAILED", error=error) as fake:
        following = Following(fake)

        with pytest.raises(TrainingFailed) as caught:
            following.follow()

    assert str(caught.value) == (
        "the job failed: The replica workerpool0-0 exited with a non-zero status of 2; its log: "
        f"{following.name.logs_url}"
    )
    assert caught.value.exit_code == 3


def test_lack_of_machines_names_the_quota_page():
    with FakeVertex() as fake:
        following = Following(fake)
        fake.jobs[str(following.name)] |= {
            "state": "JOB_STATE_FAILED",
            "error": {"code": 8, "message": "Resources are insufficient in region: us-central1."},
        }

        with pytest.raises(TrainingFailed, match=r"insufficient in region: us-central1; ask for m"):
            following.follow()


@pytest.mark.parametrize("state", ["CANCELLED", "EXPIRED"])
def test_job_that_was_stopped_is_interrupted(state):
    with (
        FakeVertex(outcome=f"JOB_STATE_{state}") as fake,
        pytest.raises(Interrupted, match=f"the job was {state.lower()}"),
    ):
        Following(fake).follow()


def test_failure_without_a_message_says_so():
    with (
        FakeVertex(outcome="JOB_STATE_FAILED") as fake,
        pytest.raises(TrainingFailed, match="the service gives no reason"),
    ):
        Following(fake).follow()


def test_ctrl_c_leaves_the_job_running_and_says_how_to_cancel():
    def interrupt(_):
        raise KeyboardInterrupt

    with FakeVertex() as fake:
        following = Following(fake)

        with pytest.raises(Interrupted) as caught:
            following.follow(interrupt)

        assert str(caught.value) == (
            "stopped following; the job goes on. Cancel it: gcloud ai custom-jobs cancel "
            f"{following.name.number} --project=a-project --region=us-central1"
        )
        assert fake.jobs[str(following.name)]["state"] == "JOB_STATE_RUNNING"
        assert not [path for _, path, _ in fake.requests if path.endswith(":cancel")]


def test_service_that_is_busy_is_asked_again():
    with FakeVertex() as fake:
        following = Following(fake)
        fake.refuse(503, "busy", skip=1)
        fake.refuse(503, "busy")

        following.follow()

    assert [line for line in following.lines if "busy" in line] == [
        f"cannot see the job for now, it goes on: the service at {fake.url} fails (busy); try "
        "again in some minutes"
    ]
    assert following.lines[-1].split()[1] == "succeeded"


def test_service_that_stays_away_ends_the_following():
    with FakeVertex() as fake:
        following = Following(fake)
        for _ in range(MAX_MISSED):
            fake.refuse(503, "busy")

        with pytest.raises(UserError, match=r"fails \(busy\).*The job itself goes on: https://"):
            following.follow()


def test_lost_right_to_see_the_job_ends_the_following_at_once():
    with FakeVertex() as fake:
        following = Following(fake)
        fake.refuse(403, "no", reason="IAM_PERMISSION_DENIED")

        with pytest.raises(UserError, match=r"roles/aiplatform.user.*The job itself goes on"):
            following.follow()


def test_study_shows_its_progress():
    with FakeVertex() as fake:
        following = Following(fake, STUDY, "hyperparameterTuningJobs")

        following.follow()

    # The last trial of the fake is the worst: 1, 1/2, 1/3.
    assert [line.partition("  ")[2] for line in following.lines[-2:]] == [
        "3 of 3 trials ended, best auc 1",
        "succeeded after 3m 00s",
    ]
