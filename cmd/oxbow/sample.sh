#!/bin/sh
# Makes sample.flv, the clip that `oxbow demo` loops: 16 s of a test picture with a running clock and a tone that steps
# each second. 16 s are 480 video and 750 audio frames exactly, so that the loop has no seam in either.
set -eu
cd "$(dirname "$0")"
font=/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf
ffmpeg -hide_banner -loglevel warning -y \
  -f lavfi -i "testsrc2=size=640x360:rate=30:duration=16" \
  -f lavfi -i "aevalsrc='0.12*sin(2*PI*(220+110*mod(floor(t)\,4))*t)*exp(-3*mod(t\,1))':s=48000:d=16" \
  -vf "drawbox=x=160:y=130:w=320:h=100:color=black@0.75:t=fill,drawtext=fontfile=$font:text='%{pts\:hms}':fontsize=40:fontcolor=white:x=(w-tw)/2:y=142,drawtext=fontfile=$font:text='Oxbow demo':fontsize=24:fontcolor=0x9fd8c8:x=(w-tw)/2:y=194" \
  -c:v libx264 -preset veryslow -profile:v high -pix_fmt yuv420p -b:v 215k -maxrate 260k -bufsize 260k \
  -g 30 -keyint_min 30 -sc_threshold 0 -bf 2 -x264-params "b-adapt=0" \
  -c:a aac -b:a 48k -ac 2 -map_metadata -1 -fflags +bitexact -flags:v +bitexact -flags:a +bitexact \
  -flvflags no_duration_filesize sample.flv
