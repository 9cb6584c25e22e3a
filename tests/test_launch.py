"""The scripts in `launch/`: what they start, how their status and signals pass on."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

LAUNCH = Path(__file__).resolve().parents[1] / "launch"


def _run(*command: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60
    )


def _program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/usr/bin/env bash\n{text}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("script", sorted(LAUNCH.glob("*.sh")), ids=lambda path: path.name)
def test_a_script_is_valid_bash(script):
    checked = _run("bash", "-n", str(script))
    assert checked.returncode == 0, checked.stderr


def _together(*statement: str) -> subprocess.CompletedProcess:
    return _run("bash", "-c", f'source "{LAUNCH}/processes.sh"; together 3 "$0" "$@"', *statement)


def test_together_tells_each_process_which_it_is():
    result = _together("bash", "-c", 'echo "$JAX_LOCAL_DEVICE_IDS $*"', "-")
    assert result.returncode == 0, result.stderr
    rows = [line.split() for line in sorted(result.stdout.splitlines())]
    assert [row[0] for row in rows] == ["0", "1", "2"]
    assert [row[3] for row in rows] == [f"--process_id={number}" for number in range(3)]
    assert {row[1] for row in rows} == {"--processes=3"}
    (coordinator,) = {row[2] for row in rows}
    assert coordinator.startswith("--coordinator=127.0.0.1:")


def test_together_returns_the_status_of_one_that_failed():
    result = _together("bash", "-c", "exit $((JAX_LOCAL_DEVICE_IDS == 1 ? 7 : 0))", "-")
    assert result.returncode == 7


@pytest.mark.parametrize("slow", [False, True], ids=["", "which has not noted the last one yet"])
def test_together_passes_sigterm_on_and_waits_for_the_processes_to_save(slow, tmp_path):
    script = (LAUNCH / "processes.sh").read_text()
    assert "pids+=($!)" in script
    together = tmp_path / "processes.sh"
    together.write_text(script.replace("pids+=($!)", f"sleep {0.5 * slow}; pids+=($!)"))
    saving = (
        'trap "sleep 0.3; echo saved; exit 143" TERM; echo started; while :; do sleep 0.1; done'
    )
    statement = f"source \"{together}\"; together 2 bash -c '{saving}' -"
    with subprocess.Popen(
        ["bash", "-c", statement], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            assert [process.stdout.readline() for _ in range(2)] == ["started\n"] * 2
            process.send_signal(signal.SIGTERM)
            rest, _ = process.communicate(timeout=30)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    assert rest == "saved\n" * 2
    assert process.returncode == 143


def _slurm(folder: Path, status: int) -> subprocess.CompletedProcess:
    """Runs slurm.sh where `srun` ends with a status and the environment is made already."""
    _program(folder / "launch" / "environment.sh", "install() { venv_python=python-of-$1; }")
    _program(folder / "bin" / "srun", f'echo "srun $*"; exit {status}')
    _program(folder / "bin" / "scontrol", 'echo "scontrol $*"')
    return _run(
        "bash",
        str(LAUNCH / "slurm.sh"),
        "--workdir=/shared/a run",
        PATH=f"{folder / 'bin'}:{os.environ['PATH']}",
        SLURM_SUBMIT_DIR=str(folder),
        SLURM_JOB_ID="42",
    )


@pytest.mark.parametrize("status", [0, 1, 143])
def test_a_slurm_job_is_put_back_into_the_queue_when_it_was_stopped_alone(tmp_path, status):
    result = _slurm(tmp_path, status)
    assert result.returncode == status
    first, *rest = result.stdout.splitlines()
    assert first == (
        "srun --kill-on-bad-exit=1 python-of-mesh,cuda -m rotdis.main --processes=0 "
        "--workdir=/shared/a run"
    )
    assert rest == (["scontrol requeue 42"] if status == 143 else [])


def test_a_tpu_slice_is_made_and_every_host_runs_the_command():
    result = _run(
        "bash", str(LAUNCH / "tpu.sh"), "--workdir=/mnt/a run", DRY_RUN="1", TPU="one", ZONE="a-b"
    )
    assert result.returncode == 0, result.stderr
    create, copy, install, train, farewell = (
        line for line in result.stdout.replace("\\\n", "").splitlines() if line.strip()
    )
    assert " create one " in create and "--zone=a-b" in create
    assert " scp " in copy and "--worker=all" in copy
    assert "install" in install
    assert " ssh one --worker=all " in train and "rotdis.main" in train
    assert farewell.startswith("to delete the slice: gcloud compute tpus tpu-vm delete one")


def test_a_tpu_slice_that_is_preempted_while_it_is_set_up_is_made_anew(tmp_path):
    """The first copy fails, and the slice is gone; the second time all goes well."""
    log, seen = tmp_path / "log", tmp_path / "seen"
    _program(
        tmp_path / "gcloud",
        f"""echo "$*" >>{log}
        case "$*" in
            *describe*) if [[ -e {seen} ]]; then echo PREEMPTED; fi ;;
            *scp*) [[ -e {seen} ]] || {{ touch {seen}; exit 255; }} ;;
        esac""",
    )
    result = _run(
        "bash", str(LAUNCH / "tpu.sh"), TPU="one", ZONE="a-b", SPOT="1",
        PATH=f"{tmp_path}:{os.environ['PATH']}",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    done = log.read_text()
    assert done.count(" create one ") == 2 and done.count(" delete one ") == 1
    assert "PREEMPTED: making it anew" in result.stderr
    assert result.stdout.splitlines()[-1].startswith("to delete the slice: ")


@pytest.mark.parametrize("missing", ["TPU", "ZONE"])
def test_which_slice_must_be_said(missing):
    given = {"TPU": "one", "ZONE": "a-b", missing: ""}
    result = _run("bash", str(LAUNCH / "tpu.sh"), DRY_RUN="1", **given)
    assert result.returncode != 0 and f"{missing}: say" in result.stderr


def test_a_finished_cell_of_the_sweep_is_repeated_for_other_arguments_alone(tmp_path):
    """With others it is the program's to go on, or to refuse."""
    launch, called = tmp_path / "launch", tmp_path / "called"
    launch.mkdir()
    (launch / "latent_sweep.sh").write_text((LAUNCH / "latent_sweep.sh").read_text())
    _program(tmp_path / "python", f'echo "$2 $3 ${{@:5}}" >>{called}; [[ "$*" != *bad* ]]')
    (launch / "environment.sh").write_text(
        f"install() {{ :; }}\nvenv_python={tmp_path}/python\ncd {tmp_path}\n"
    )

    def sweep(*arguments):
        called.write_text("")
        for cell in ("a", "b"):
            (tmp_path / "w" / cell).mkdir(parents=True, exist_ok=True)  # as a run makes it
        result = _run(
            "bash", str(launch / "latent_sweep.sh"), *arguments,
            CELLS="a b", WORKDIR=str(tmp_path / "w"),
        )  # fmt: skip
        return result.returncode, called.read_text().splitlines()

    trained = [f"rotdis.main --config=configs/latent_sweep.py:{cell}" for cell in ("a", "b")]
    collected = f"rotdis.sweep {tmp_path}/w "
    status, calls = sweep("--x=1")
    assert (status, calls) == (0, [*(f"{each} --x=1" for each in trained), collected])
    assert sweep("--x=1") == (0, [collected])
    assert sweep("--x=2") == (0, [*(f"{each} --x=2" for each in trained), collected])
    status, calls = sweep("--bad")
    assert status == 1 and calls == [f"{trained[0]} --bad"]
    # What others may have changed is looked at again.
    assert sweep("--x=2") == (0, [f"{trained[0]} --x=2", collected])
