/* Theano 1.0.5's C code against NumPy 2: the oldest C API that NumPy 2 offers, and the names of Python 2 that
   NumPy's headers defined until 2.0. Included before everything by gcc.cxxflags (backend/flags.py). */
#pragma once
#define NPY_TARGET_VERSION 0x00000012
#define NPY_PY3K 1
#include <numpy/_numpyconfig.h>
#if NPY_API_VERSION > 0x00000012
#define PyInt_Check PyLong_Check
#define PyInt_CheckExact PyLong_CheckExact
#define PyInt_AsLong PyLong_AsLong
#define PyInt_AS_LONG PyLong_AsLong
#define PyInt_FromLong PyLong_FromLong
#define PyNumber_Int PyNumber_Long
#define PyString_Check PyUnicode_Check
#define PyString_FromString PyUnicode_FromString
#endif
