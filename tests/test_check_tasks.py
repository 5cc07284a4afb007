import pytest
from check_jobs import CPU, find

PACKAGE = CPU.replace(
    "  containerSpec:\n    imageUri: ${IMAGE}:cpu\n",
    """\
  pythonPackageSpec:
    executorImageUri: us-docker.pkg.dev/vertex-ai/training/tf-cpu.2-17.py310:latest
    packageUris: ["gs://${BUCKET}/p-0.1.0-py3-none-any.whl"]
    pythonModule: trainer.task
""",
)
END = "warning workerPoolSpecs[0].pythonPackageSpec.executorImageUri: Google keeps"


def beside_the_end(found):
    return [line for line in found if not line.startswith(END)]


def test_prebuilt_image_and_wheel(tmp_path):
    assert beside_the_end(find(tmp_path, PACKAGE)) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("py310:latest", "py310:v2", "the tag must be latest; received 'v2'"),
        ("tf-cpu.2-17", "tf-gpu.2-17", "is made for GPU, but the machine has no accelerator"),
        ("trainer.task", "trainer/task.py", "must be a module as in `python -m`"),
        ("    pythonModule: trainer.task\n", "", "pythonModule: is missing; write trainer.task"),
        (".whl", ".zip", "must be gs://BUCKET/....tar.gz or .whl"),
        (
            "    executorImageUri: us-docker.pkg.dev/vertex-ai/training/tf-cpu.2-17.py310:latest\n",
            "",
            "executorImageUri: is missing",
        ),
    ],
)
def test_package_task(tmp_path, old, new, message):
    found = [
        line
        for line in beside_the_end(find(tmp_path, PACKAGE, (old, new)))
        if "runs another program" not in line
    ]

    assert len(found) == 1 and message in found[0]


def test_googles_image_has_none_of_our_code(tmp_path):
    image = "us-docker.pkg.dev/vertex-ai/training/tf-cpu.2-17.py310:latest"

    found = find(tmp_path, CPU, ("${IMAGE}:cpu", image))

    assert len(found) == 1 and "is Google's image without our code" in found[0]


@pytest.mark.parametrize(
    "image",
    [
        "python:3.11",
        "gcr.io/my-project/trainer",
        "us-central1-docker.pkg.dev/p/r/i@sha256:" + "0" * 64,
        "localhost:5000/i:1",
    ],
)
def test_names_that_images_have(tmp_path, image):
    assert find(tmp_path, CPU, ("${IMAGE}:cpu", image)) == []


def test_missing_image(tmp_path):
    found = find(tmp_path, CPU, ("    imageUri: ${IMAGE}:cpu\n", ""))

    assert len(found) == 1 and "imageUri: is missing" in found[0]


def test_other_program_is_said_to_be_unchecked(tmp_path):
    found = find(tmp_path, CPU, ("args: []", "command: [python, other.py]\n    args: [--what]"))

    assert len(found) == 1 and "runs another program than trainer.task" in found[0]


def test_arguments_have_a_length(tmp_path):
    argument = '["--scratch_dir=/' + "x" * 100_000 + '"]'

    found = find(tmp_path, CPU, ("[]", argument))

    assert len(found) == 1 and "have 100015 characters; at most 100000" in found[0]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["A", "b_1"], None),
        (["A", "A"], "A is set twice"),
        (["1A"], "must have a name"),
        (["TF_CONFIG"], "TF_CONFIG is set by Vertex AI itself"),
        (["HF_TOKEN"], "HF_TOKEN seems to hold a secret: whoever may see the job sees its value"),
        ([f"A{i}" for i in range(101)], "has 101 variables; at most 100"),
    ],
)
def test_variables(tmp_path, names, message):
    variables = ", ".join(f'{{name: {name}, value: "1"}}' for name in names)

    found = find(tmp_path, CPU, ("args: []", f"args: []\n    env: [{variables}]"))

    assert [message in line for line in found] == ([True] if message else [])
