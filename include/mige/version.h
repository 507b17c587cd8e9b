#ifndef MIGE_VERSION_H
#define MIGE_VERSION_H

#define MIGE_VERSION "0.1.0"

#endif
