#![allow(clippy::unwrap_used, clippy::panic)]
use super::*;
use persea_plugin_sdk::process;
use persea_plugin_sdk::testing::{Answer, Host, Installed, Processes};
use persea_requirement_tool::testing::{recorded, unrecorded};
use std::cell::RefCell;
use std::rc::Rc;

/// Images of a simulated podman or docker. The answers are those of podman 4.3.1 and docker 28.2.2.
#[derive(Clone, Default)]
struct Images(Rc<RefCell<Store>>);

#[derive(Default)]
struct Store {
    tools: Vec<&'static str>,
    images: Vec<ListedImage>,
    /// Image that the next pull adds.
    pulled: Option<(String, Option<&'static str>)>,
    in_use: bool,
    down: bool,
}

fn id(letter: char) -> String {
    letter.to_string().repeat(64)
}

impl Images {
    fn of(tools: &[&'static str], images: &[(char, Option<&str>)]) -> Self {
        let named = |(letter, name): &(char, Option<&str>)| (id(*letter), name.map(str::to_owned));
        let store = Store {
            tools: tools.to_vec(),
            images: images.iter().map(named).collect(),
            ..Store::default()
        };
        Self(Rc::new(RefCell::new(store)))
    }

    fn brings(&self, letter: char, name: Option<&'static str>) {
        self.0.borrow_mut().pulled = Some((id(letter), name));
    }

    fn install(&self) -> Installed {
        let store = Rc::clone(&self.0);
        let processes = Processes::new(move |command| store.borrow_mut().answer(command));
        Host::new().processes(processes).install()
    }

    fn left(&self) -> Vec<Left> {
        let store = self.0.borrow();
        let left = store.images.iter();
        left.map(|(id, name)| (id.chars().next().unwrap(), name.clone()))
            .collect()
    }
}

impl Store {
    fn answer(&mut self, command: &process::Command) -> Answer {
        let mut words = vec![command.program.as_str()];
        words.extend(command.args.iter().map(String::as_str));
        match words.as_slice() {
            ["/bin/sh", "-c", line, "sh", tool] if line.starts_with("command -v") => {
                match self.tools.contains(tool) {
                    true => Answer::code(0).stdout(format!("/usr/bin/{tool}\n")),
                    false => Answer::code(127),
                }
            }
            [
                "/bin/sh",
                "-c",
                r#"exec "$@" 2>&1"#,
                "sh",
                tool,
                "pull",
                reference,
            ] => self.pull(tool, reference),
            [_, ..] if self.down => Answer::code(1).stderr("Cannot connect to the Docker daemon\n"),
            ["docker", "version", ..] => Answer::code(0).stdout("28.2.2\n"),
            ["podman", "image", "exists", reference] => match self.find(reference) {
                Some(_) => Answer::code(0),
                None if reference.contains("//") => {
                    Answer::code(125).stderr("Error: invalid reference format\n")
                }
                None => Answer::code(1),
            },
            [
                "docker",
                "image",
                "inspect",
                "--format",
                "{{.Id}}",
                reference,
            ] => match self.find(reference) {
                Some(id) => Answer::code(0).stdout(format!("sha256:{id}\n")),
                None => Answer::code(1)
                    .stdout("\n")
                    .stderr("Error: No such image\n"),
            },
            [_, "image", "ls", "--all", "--no-trunc", "--format", _] => {
                let line = |(id, name): &ListedImage| {
                    let name = name.as_deref().unwrap_or("<none>:<none>");
                    format!("sha256:{id} {name}\n")
                };
                Answer::code(0).stdout(self.images.iter().map(line).collect::<String>())
            }
            [_, "rmi", reference] => self.remove(reference),
            ["podman", "tag", image, name] => {
                self.images
                    .retain(|(id, name)| id != image || name.is_some());
                self.images
                    .push(((*image).to_owned(), Some((*name).to_owned())));
                Answer::code(0)
            }
            other => panic!("no answer is known for {other:?}"),
        }
    }

    fn find(&self, reference: &str) -> Option<String> {
        let is_it =
            |(id, name): &&ListedImage| id == reference || name.as_deref() == Some(reference);
        self.images.iter().find(is_it).map(|(id, _)| id.clone())
    }

    fn pull(&mut self, tool: &str, reference: &str) -> Answer {
        let Some((id, name)) = self.pulled.take() else {
            return Answer::code(125)
                .stdout("Trying to pull it...\nError: no such host\n<html>\n...\n");
        };
        for (_, old) in &mut self.images {
            if name.is_some() && old.as_deref() == name {
                *old = None;
            }
        }
        let named = (id.clone(), name.map(str::to_owned));
        if !self.images.contains(&named) && (name.is_some() || self.find(&id).is_none()) {
            self.images
                .retain(|(other, name)| *other != id || name.is_some());
            self.images.push(named);
        }
        Answer::code(0).stdout(match tool {
            "podman" => format!("Copying blob\nStoring signatures\n{id}\n"),
            _ => format!("latest: Pulling\nDigest: sha256:{id}\n{reference}\n"),
        })
    }

    fn remove(&mut self, reference: &str) -> Answer {
        let image = self.find(reference).unwrap();
        let names = self.images.iter().filter(|(id, _)| *id == image).count();
        match (self.in_use && names == 1, names > 1 && image == reference) {
            (true, _) => Answer::code(2).stderr("Error: image used by 559d\n"),
            (_, true) => Answer::code(125).stderr("Error: more than one tag\n"),
            _ => {
                let is_it = |(id, name): &ListedImage| {
                    id == reference || name.as_deref() == Some(reference)
                };
                self.images.retain(|named| !is_it(named));
                Answer::code(0)
            }
        }
    }
}

fn image(reference: &str) -> RequirementRequest {
    RequirementRequest::new(Requirement::new("container-image").uri(reference))
}

fn message<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    result.unwrap_err().message
}

const A: &str = "quay.io/x/a:1";

#[test]
fn image_is_pulled_and_removed() {
    for tool in ["podman", "docker"] {
        let images = Images::of(&[tool], &[('f', Some("other:1"))]);
        let host = images.install();
        assert_eq!(
            ContainerImage::check(&image(A)),
            Ok(Presence::Absent.into())
        );
        images.brings('a', Some(A));
        let fulfilled = ContainerImage::fulfil(&image(A)).unwrap();
        assert_eq!(
            host.progress().first().unwrap(),
            &format!("pulling {A} with {tool}")
        );
        assert_eq!(host.progress().len(), 4);
        assert_eq!(fulfilled.undo.text("image"), Some(id('a').as_str()));
        assert_eq!(fulfilled.undo.text("tool"), Some(tool));
        assert_eq!(
            ContainerImage::check(&image(A)),
            Ok(Presence::Present.into())
        );
        assert_eq!(
            ContainerImage::release(&recorded(image(A), &fulfilled)),
            Ok(())
        );
        assert_eq!(images.left(), [('f', Some("other:1".into()))]);
        assert_eq!(
            ContainerImage::release(&recorded(image(A), &fulfilled)),
            Ok(())
        );
    }
}

/// The letter of an image's id, and a name of the image.
type Left = (char, Option<String>);

/// Pulls `reference`, which adds the image and name `brings`, runs `between`, and releases. Returns
/// the remaining images and the result of the release.
fn pulled(
    images: &Images,
    reference: &str,
    brings: (char, Option<&'static str>),
    between: impl FnOnce(&mut Store),
) -> (Vec<Left>, Result<(), Error>) {
    let _host = images.install();
    assert_eq!(
        ContainerImage::check(&image(reference)),
        Ok(Presence::Absent.into())
    );
    images.brings(brings.0, brings.1);
    let fulfilled = ContainerImage::fulfil(&image(reference)).unwrap();
    between(&mut images.0.borrow_mut());
    let released = ContainerImage::release(&recorded(image(reference), &fulfilled));
    (images.left(), released)
}

#[test]
fn existing_image_only_loses_its_new_name() {
    let images = Images::of(&["podman"], &[('a', Some("mine:1"))]);
    let (left, released) = pulled(&images, A, ('a', Some(A)), |_| ());
    assert_eq!(
        (left, released),
        (vec![('a', Some("mine:1".into()))], Ok(()))
    );

    let images = Images::of(&["podman"], &[('a', Some("mine:1"))]);
    let (left, released) = pulled(&images, "dir:/x", ('a', None), |_| ());
    assert_eq!(
        (left, released),
        (vec![('a', Some("mine:1".into()))], Ok(()))
    );

    let images = Images::of(&["podman"], &[('a', None)]);
    let (left, released) = pulled(&images, "dir:/x", ('a', None), |_| ());
    assert_eq!((left, released), (vec![('a', None)], Ok(())));

    let images = Images::of(&["podman"], &[('a', None)]);
    let (left, released) = pulled(&images, A, ('a', Some(A)), |_| ());
    assert_eq!(left, [('a', Some(A.into()))]);
    assert!(
        message(released).starts_with("the name quay.io/x/a:1 is not removed, because the image")
    );
}

#[test]
fn image_of_an_archive_is_removed_by_name_or_id() {
    for name in [None, Some("localhost/in-archive:1")] {
        let images = Images::of(&["podman"], &[]);
        let (left, released) = pulled(&images, "oci-archive:/x y.tar", ('a', name), |_| ());
        assert_eq!((left, released), (vec![], Ok(())));
    }
    // A name that the pull took from another image is given back.
    let images = Images::of(&["podman"], &[('b', Some("x:1"))]);
    let (left, released) = pulled(&images, "oci-archive:/x", ('a', Some("x:1")), |_| ());
    assert_eq!((left, released), (vec![('b', Some("x:1".into()))], Ok(())));
    // The other image has been removed meanwhile.
    let images = Images::of(&["podman"], &[('b', Some("x:1"))]);
    let gone = |store: &mut Store| store.images.retain(|(image, _)| *image != id('b'));
    let (left, released) = pulled(&images, "oci-archive:/x", ('a', Some("x:1")), gone);
    assert_eq!((left, released), (vec![], Ok(())));
}

#[test]
fn names_given_meanwhile_are_kept() {
    let images = Images::of(&["podman"], &[]);
    let renamed = |store: &mut Store| store.images = vec![(id('b'), Some(A.to_owned()))];
    let (left, released) = pulled(&images, A, ('a', Some(A)), renamed);
    assert_eq!((left, released), (vec![('b', Some(A.into()))], Ok(())));

    let images = Images::of(&["podman"], &[]);
    let both = |store: &mut Store| {
        store.images = vec![
            (id('a'), Some("theirs:1".to_owned())),
            (id('b'), Some(A.to_owned())),
        ];
    };
    let (left, released) = pulled(&images, A, ('a', Some(A)), both);
    assert_eq!((left.len(), released), (2, Ok(())));

    let images = Images::of(&["podman"], &[]);
    let tagged = |store: &mut Store| store.images.push((id('a'), Some("theirs:1".to_owned())));
    let (left, released) = pulled(&images, A, ('a', Some(A)), tagged);
    assert_eq!(
        (left, released),
        (vec![('a', Some("theirs:1".into()))], Ok(()))
    );

    let images = Images::of(&["podman"], &[]);
    let (left, released) = pulled(&images, A, ('a', Some(A)), |store| store.in_use = true);
    assert_eq!(left.len(), 1);
    let expected = "cannot remove the image quay.io/x/a:1: Error: image used by 559d; remove it by \
                    `podman rmi quay.io/x/a:1` when nothing uses it any more";
    assert_eq!(message(released), expected);
}

#[test]
fn unrecorded_attempt_is_reported() {
    let release = |reference: &str| {
        let images = Images::of(&["podman"], &[('a', Some(A))]);
        let _host = images.install();
        let released = ContainerImage::release(&unrecorded(image(reference)));
        assert_eq!(images.left().len(), 1, "the image may be somebody else's");
        released
    };
    assert_eq!(release("quay.io/x/none"), Ok(()));
    assert!(
        message(release(A)).starts_with(
            "quay.io/x/a:1 may have been pulled for the requirement; if nothing needs"
        )
    );
    assert!(message(release(A)).ends_with("remove it by `podman rmi quay.io/x/a:1`"));
    assert!(message(release("dir:/x")).starts_with("an image may have been pulled from dir:/x"));
}

#[test]
fn failures_have_the_tools_words() {
    let images = Images::of(&["podman"], &[]);
    let host = images.install();
    let failed = message(ContainerImage::fulfil(&image(A)));
    assert_eq!(
        failed,
        "cannot pull quay.io/x/a:1 with podman: Error: no such host"
    );
    let failed = message(ContainerImage::check(&image("Bad//Ref")));
    assert!(
        failed.ends_with("exit code 125: Error: invalid reference format"),
        "{failed}"
    );
    drop(host);
    let images = Images::of(&["docker"], &[]);
    images.0.borrow_mut().down = true;
    let _host = images.install();
    let failed = message(ContainerImage::check(&image(A)));
    assert!(
        failed.ends_with("exit code 1: Cannot connect to the Docker daemon"),
        "{failed}"
    );
}

#[test]
fn tool_is_the_requested_one_or_the_first_that_exists() {
    let used = |tools: &[&'static str], request: RequirementRequest| {
        let images = Images::of(tools, &[('a', Some(A))]);
        let host = images.install();
        ContainerImage::check(&request).map(|_| host.commands().pop().unwrap().program)
    };
    let both = ["docker", "podman"];
    let podman_image = || RequirementRequest::new(Requirement::new("podman-image").uri(A));
    let wanting = |tool: &str| {
        RequirementRequest::new(
            Requirement::new("container-image")
                .uri(A)
                .kwarg("tool", tool),
        )
    };
    assert_eq!(used(&both, image(A)), Ok("podman".into()));
    assert_eq!(used(&["docker"], image(A)), Ok("docker".into()));
    assert_eq!(
        used(&both, image(A).setting(TOOL_SETTING.key(), "docker")),
        Ok("docker".into())
    );
    assert_eq!(
        used(&both, image(A).setting(TOOL_SETTING.key(), Value::Null)),
        Ok("podman".into())
    );
    assert_eq!(
        used(
            &both,
            wanting("docker").setting(TOOL_SETTING.key(), "podman")
        ),
        Ok("docker".into())
    );
    assert_eq!(
        used(&both, podman_image().setting(TOOL_SETTING.key(), "docker")),
        Ok("podman".into())
    );
    let missing = message(used(&["docker"], podman_image()));
    assert!(missing.starts_with("this environment has no program `podman`"));
    assert!(message(used(&[], image(A))).contains("has neither podman nor docker"));
    assert!(message(used(&both, wanting("lxc"))).starts_with("unknown container tool `lxc`"));
    let setting = persea_plugin_sdk::SettingDescription::from(&TOOL_SETTING);
    assert_eq!(setting.more.json("choices"), Some(r#"["podman","docker"]"#));
}

#[test]
fn invalid_arguments_are_explained() {
    let plain = || Requirement::new("podman-image");
    let wrong = [
        (plain(), "it needs a `uri` or `name`: the image"),
        (plain().uri("-a"), "\"-a\" is not a valid image reference"),
        (
            plain().uri("docker://"),
            "\"\" is not a valid image reference",
        ),
        (plain().uri("a\nb"), "is not a valid image reference"),
        (plain().uri("a").kwarg("tag", "1"), "unknown argument `tag`"),
        (
            plain().uri("a").kwarg("tool", "docker"),
            "it uses podman; for docker",
        ),
    ];
    for (wanted, expected) in wrong {
        let found = message(ContainerImage::check(&RequirementRequest::new(wanted)));
        assert!(found.contains(expected), "{found:?} has no {expected:?}");
    }
}

#[test]
fn transports_are_podmans_only() {
    for transport in ["dir:/x", "oci-archive:x.tar", "oci:x:1"] {
        assert!(Tool::Podman.is_transport(transport));
        assert!(!Tool::Docker.is_transport(transport));
    }
    assert!(!Tool::Podman.is_transport("localhost:5000/a") && !Tool::Podman.is_transport("dir"));
}
