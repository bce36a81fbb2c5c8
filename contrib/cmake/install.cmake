# SPDX-License-Identifier: Apache-2.0
# What an installed Postern offers to builders of modules: headers, find_package and pkg-config.
install(DIRECTORY include/postern DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
