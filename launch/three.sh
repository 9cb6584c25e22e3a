#!/usr/bin/env bash
# Makes rotdis/explore/page/three.js anew: the parts of three.js that the page uses, in one file.
# Needs npm and its registry; nobody else does, since the file is kept in the repository.
set -euo pipefail
three=0.187.0 esbuild=0.28.2
page=$(cd "$(dirname "$0")/../rotdis/explore/page" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-fund --no-audit "three@$three" "esbuild@$esbuild"
cat >entry.js <<'JAVASCRIPT'
export {
  BufferAttribute, BufferGeometry, Color, DirectionalLight, Euler, Group, HemisphereLight, Mesh,
  MeshBasicMaterial, MeshStandardMaterial, PCFShadowMap, PerspectiveCamera, PlaneGeometry,
  Quaternion, RingGeometry, Scene, ShadowMaterial, SRGBColorSpace, Vector3, WebGLRenderer,
} from "three";
export { OrbitControls } from "three/addons/controls/OrbitControls.js";
export { TransformControls } from "three/addons/controls/TransformControls.js";
JAVASCRIPT
banner="/*! Parts of three.js $three, https://threejs.org, bundled by launch/three.sh. MIT: three.LICENSE */"
npx esbuild entry.js --bundle --minify --format=esm --legal-comments=none \
    --banner:js="$banner" --outfile="$page/three.js"
cp node_modules/three/LICENSE "$page/three.LICENSE"
